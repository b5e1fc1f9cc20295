"""What is bubblewrap's own: the machine's programs beneath, and nothing that outlives the process."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from leap_exp.core.errors import DataError, EnvError
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits
from tests.sandboxes import TREE, bash, becomes, is_running, said


def test_the_machines_programs_cannot_be_changed(engine):
    with engine().open(TREE) as machine:
        assert "Read-only" in said(machine, "touch /usr/mine")


def test_the_disk_is_bounded_in_files(engine):
    with engine(disk_mib=8, seconds=30).open(TREE) as machine:
        outcome = bash(machine, "mkdir /desk/many; cd /desk/many; seq 40000 | xargs touch")
        assert outcome.exit_code != 0
        assert b"No space left" in outcome.output


def test_a_resident_sandbox_has_a_first_process_and_lets_others_run_on_until_it_is_closed(engine):
    engine = engine(resident=True)
    with engine.open(TREE) as machine, engine.open(TREE) as other:
        assert said(machine, "ps -o ppid= -p $$; cat /proc/1/comm").split() == ["0", "bash"]
        assert bash(machine, "sleep 54.231 > /dev/null 2>&1 & echo done").output == b"done\n"
        assert "54.231" in said(machine, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "54.231" not in said(other, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        names = {said(machine, "hostname"), said(machine, "echo $HOSTNAME"), said(other, "hostname")}
        assert [len(name) for name in names] == [13, 13]
    assert becomes(lambda: not is_running("sleep", "54.231"))


def test_nothing_is_left_when_the_process_is_killed_amid_a_command(engine):
    engine = engine()
    code = (
        "from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine\n"
        "from leap_exp.envs.intercode_bash.sandbox import Limits\n"
        "from tests.sandboxes import TREE\n"
        "with BubblewrapEngine(base='host', limits=Limits(seconds=60)).open(TREE) as machine:\n"
        "    print('open', flush=True)\n"
        "    machine.run(['/bin/bash', '-c', 'sleep 54.321'], workdir='/')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert becomes(lambda: is_running("sleep", "54.321"))
        assert engine.leftovers()["mounts"]
        process.send_signal(signal.SIGKILL)
    assert becomes(lambda: not any(engine.leftovers().values()))


def test_a_base_that_is_not_there_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"env\.base=host"):
        BubblewrapEngine(base="rootfs", limits=Limits())


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "file"))
    with pytest.raises(EnvError, match=r"file/intercode/sandboxes.*LEAP_DATA"):
        BubblewrapEngine(base="host", limits=Limits())


def test_what_an_engine_made_for_itself_goes_with_it(engine, data):
    engine = engine()
    with engine.open(replace(TREE, made=0.0)):
        assert len(list((data / "intercode" / "sandboxes").glob("fresh-*"))) == 1
    del engine
    assert not list((data / "intercode" / "sandboxes").glob("fresh-*"))
