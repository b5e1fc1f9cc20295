"""Sandboxes without root: as the user nobody, in a process that has dropped its rights."""

import multiprocessing
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from leap_exp.core.errors import DataError, EnvError
from leap_exp.envs.intercode_bash.engine.bases import open_base
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.episode import BashEpisode
from leap_exp.envs.intercode_bash.engine.reward import run_gold
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from leap_exp.envs.intercode_bash.engine.stress import find_orphans
from leap_exp.envs.intercode_bash.engine.trees import Entry
from tests.support.sandboxes import TREE

NOBODY = 65534
LOCKED = replace(
    TREE,
    name="locked",
    entries=(
        *TREE.entries,
        Entry(path="/vault", mode=0o500),
        Entry(path="/vault/inner", mode=0o000),
        Entry(path="/vault/inner/gold.txt", mode=0o400, content=b"a bar\n"),
    ),
    made=0.0,
)


@pytest.fixture
def as_nobody():
    """Returns a function that calls another one in a process of that user, with ``LEAP_DATA`` in a folder of theirs."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody; without root the other tests cover this")
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    # Other users cannot read pytest's own folder.
    folder = Path(tempfile.mkdtemp(prefix="nobody-"))
    os.chown(folder, NOBODY, NOBODY)

    def call(function):
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe()
        process = context.Process(target=_call, args=(function, folder, sender))
        process.start()
        sender.close()
        result = receiver.recv()
        process.join()
        if isinstance(result, EnvError):
            pytest.skip(f"user namespaces do not work here: {result}")
        return result

    yield call
    shutil.rmtree(folder)


def _call(function, folder, sender):
    os.environ["LEAP_DATA"] = str(folder)
    os.chdir(folder)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        with BubblewrapEngine(base=BaseKind.HOST, limits=Limits()).open(TREE):
            pass
    except EnvError as error:
        sender.send(error)
    else:
        sender.send(function(folder))


def test_an_episode_runs_and_gets_a_reward(as_nobody):
    def play(folder):
        engine = BubblewrapEngine(base=BaseKind.HOST, limits=Limits())
        command = "mkdir /desk/new; mv /desk/note.txt /desk/new; cat /desk/drawer/list.csv; id -u"
        with engine.open(TREE) as fresh:
            gold = run_gold(fresh, command, Quoting.EXACT)
        with engine.open(TREE) as sandbox:
            episode = BashEpisode(sandbox, "Tidy up.", lambda: [gold], quoting=Quoting.EXACT, shown_characters=1000)
            shown = [episode.step(action).observation.text for action in (command, "git status --short")]
            episode.step(command)
            return gold.output, shown, sorted(episode.reward().missing | episode.reward().extra)

    output, shown, differences = as_nobody(play)
    assert output == "pen,2\nink,1\n0\n"
    assert shown == [output, " D desk/note.txt\n?? desk/new/\n"]
    assert differences == []


def test_files_cannot_be_given_to_other_users(as_nobody):
    def change_owner(folder):
        with BubblewrapEngine(base=BaseKind.HOST, limits=Limits()).open(TREE) as sandbox:
            result = sandbox.run(["chown", "nobody", "/desk/note.txt"], workdir="/")
            return result.exit_code, result.output.decode()

    exit_code, output = as_nobody(change_owner)
    assert exit_code == 1
    assert "Invalid argument" in output


def test_folders_without_permissions_can_be_used_and_removed(as_nobody):
    def use(folder):
        engine = BubblewrapEngine(base=BaseKind.HOST, limits=Limits())
        with engine.open(LOCKED) as sandbox:
            output = sandbox.run(["cat", "/vault/inner/gold.txt"], workdir="/").output
        made = len(list((folder / "intercode" / "sandboxes").glob("fresh-*")))
        del engine
        return output, made, len(list((folder / "intercode" / "sandboxes").glob("fresh-*")))

    assert as_nobody(use) == (b"a bar\n", 1, 0)


def test_killed_processes_leave_no_orphans(as_nobody):
    def kill(folder):
        found = find_orphans(lambda: BubblewrapEngine(base=BaseKind.HOST, limits=Limits()), episodes=12, seed=1)
        return found.killed, {kind: len(lines) for kind, lines in found.orphans.items()}

    killed, left = as_nobody(kill)
    assert killed > 0
    assert left == {"processes": 0, "mounts": 0, "namespaces": 0, "files": 0}


def test_a_root_file_system_must_belong_to_the_user(as_nobody):
    def use_another(folder):
        shell = folder / "intercode" / "rootfs" / "bin" / "bash"
        shell.parent.mkdir(parents=True)
        shell.touch()
        open_base(BaseKind.ROOTFS, folder)
        os.environ["LEAP_DATA"] = others
        try:
            open_base(BaseKind.ROOTFS, folder)
        except DataError as error:
            return str(error)

    with tempfile.TemporaryDirectory(prefix="root-") as others:
        Path(others).chmod(0o755)
        (Path(others) / "intercode" / "rootfs" / "bin").mkdir(parents=True)
        (Path(others) / "intercode" / "rootfs" / "bin" / "bash").touch()
        assert "belongs to another user" in as_nobody(use_another)
