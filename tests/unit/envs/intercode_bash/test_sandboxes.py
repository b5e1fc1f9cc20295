"""What a sandbox of either kind offers, and what nobody gets out of it."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leap_exp.envs.intercode_bash.sandbox import Excess
from leap_exp.envs.intercode_bash.trees import Entry, FileTree
from tests.sandboxes import TREE, bash, becomes, is_running, said


def test_a_sandbox_has_the_tree_clean_under_version_control_and_without_empty_folders(sandbox):
    assert said(sandbox, "cat /desk/note.txt; stat -c %a /desk/drawer/list.csv") == "call back\n600\n"
    assert said(sandbox, "git status --short; ls /desk") == "drawer\nnote.txt\n"


def test_changes_stay_for_the_next_command_and_not_for_the_next_sandbox(any_engine):
    engine = any_engine()
    with engine.open(TREE) as first, engine.open(TREE) as second:
        bash(first, "echo new > /desk/new.txt; rm /desk/note.txt")
        assert said(first, "git status --short") == " D desk/note.txt\n?? desk/new.txt\n"
        assert said(second, "git status --short") == ""
    with engine.open(TREE) as third:
        assert said(third, "cat /desk/note.txt") == "call back\n"


def test_exit_codes_and_both_outputs_come_back_in_order(sandbox):
    outcome = bash(sandbox, "echo one; echo two >&2; echo three; exit 7")
    assert (outcome.output, outcome.exit_code, outcome.excess) == (b"one\ntwo\nthree\n", 7, None)


def test_a_program_or_folder_that_is_not_there_is_answered_as_docker_does(sandbox):
    outcome = sandbox.run(["md5deep-of-nowhere", "-r", "x"], workdir="/")
    assert outcome.exit_code in (126, 127)
    assert b'exec: "md5deep-of-nowhere": executable file not found in $PATH' in outcome.output
    outcome = sandbox.run(["ls"], workdir="/desk/none")
    assert outcome.exit_code == 126
    assert b'chdir to cwd ("/desk/none")' in outcome.output


def test_a_file_outside_the_base_cannot_be_read(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    assert "No such file" in said(sandbox, f"cat {secret}")
    assert "not for you" not in said(sandbox, f"cat /proc/*/root{secret} /proc/1/cwd{secret} 2>&1")


def test_nothing_outside_the_overlay_can_be_written(sandbox):
    before = sorted(Path("/").iterdir()), sorted(Path("/usr").iterdir())
    assert bash(sandbox, "mount -o remount,rw /usr").exit_code != 0
    assert bash(sandbox, "mount -t tmpfs none /desk").exit_code != 0
    # Never written to: were they open, the machine would have to bear it.
    for name in ("sysrq-trigger", "sys/kernel/core_pattern", "irq/default_smp_affinity"):
        assert bash(sandbox, f"test -e /proc/{name} -a -w /proc/{name}").exit_code != 0
    assert bash(sandbox, "mknod /desk/disk b 8 0").exit_code != 0
    bash(sandbox, "touch /mine /usr/mine")
    assert (sorted(Path("/").iterdir()), sorted(Path("/usr").iterdir())) == before


def test_the_network_cannot_be_reached(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert bash(sandbox, f"exec 3<>/dev/tcp/127.0.0.1/{port}").exit_code != 0
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert said(sandbox, "cat /proc/net/route | tail -n +2") == ""


def test_other_processes_can_neither_be_seen_nor_signalled(any_engine):
    engine = any_engine()
    with engine.open(TREE) as first, engine.open(TREE) as second, ThreadPoolExecutor() as pool:
        running = pool.submit(bash, first, "sleep 1.5; echo survived")
        time.sleep(0.3)
        assert str(os.getpid()) not in said(second, "ls /proc").split()
        bash(second, f"kill -9 {os.getpid()}; kill -9 -1")
        assert running.result().output == b"survived\n"


def test_a_fork_bomb_is_killed_and_nothing_of_it_is_left(any_engine):
    with any_engine(processes=64, seconds=20).open(TREE) as machine:
        outcome = bash(machine, "bomb() { bomb | bomb & }; bomb; sleep 15")
        assert outcome.excess is Excess.PROCESSES
        assert said(machine, "ls -d /proc/[0-9]* | wc -l").strip() in {"3", "4", "5"}


def test_memory_is_bounded_for_one_process_and_for_all_together(any_engine):
    with any_engine(memory_mib=128, seconds=20).open(TREE) as machine:
        assert bash(machine, "head -c 1G /dev/zero | tail -c 900M | wc -c").output != b"943718400\n"
        hog = "head -c 60M /dev/zero | tail -c 60M | (sleep 5; cat > /dev/null) &"
        assert bash(machine, f"{hog} {hog} {hog} {hog} wait").excess is Excess.MEMORY


def test_the_disk_is_bounded(any_engine):
    with any_engine(disk_mib=8, seconds=30).open(TREE) as machine:
        assert bash(machine, "dd if=/dev/zero of=/desk/big bs=1M count=64").exit_code != 0
        assert bash(machine, "for i in 1 2 3 4; do head -c 4M /dev/zero > /desk/part$i || exit 1; done").exit_code != 0
        assert bash(machine, "rm /desk/part* /desk/big; echo fits > /desk/small").exit_code == 0


@pytest.mark.parametrize(
    "command", ["sleep 60", "trap '' TERM INT HUP; while :; do sleep 1; done", "exec >&-; sleep 60"]
)
def test_a_command_that_never_ends_is_killed_with_all_that_it_started(any_engine, command):
    with any_engine(seconds=0.5).open(TREE) as machine:
        started = time.monotonic()
        outcome = bash(machine, command)
        assert outcome.excess is Excess.TIME
        assert outcome.exit_code is None
        assert time.monotonic() - started < 5
        assert said(machine, "ls -d /proc/[0-9]* | wc -l").strip() in {"3", "4", "5"}


def test_a_command_that_prints_without_end_is_killed_and_its_output_cut(any_engine):
    with any_engine(output_bytes=100_000).open(TREE) as machine:
        outcome = bash(machine, "yes")
        assert outcome.excess is Excess.OUTPUT
        assert outcome.output == b"y\n" * 50_000


def test_what_a_command_leaves_in_the_background_ends_with_it(any_engine):
    with any_engine().open(TREE) as machine:
        started = time.monotonic()
        assert bash(machine, "sleep 54.123 & echo done").output == b"done\n"
        assert time.monotonic() - started < 10
    assert becomes(lambda: not is_running("sleep", "54.123"))


def test_many_sandboxes_are_opened_and_used_at_once(any_engine):
    engine = any_engine()

    def episode(number):
        with engine.open(TREE) as machine:
            return said(machine, f"echo {number} > /desk/mine") + said(machine, "cat /desk/mine; git status --short")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(episode, range(8))) == [f"{number}\n?? desk/mine\n" for number in range(8)]


def test_files_with_an_age_keep_it(any_engine):
    entries = (
        Entry(path="/desk", mode=0o755),
        Entry(path="/desk/old", mode=0o644, content=b"", changed=1e9 - 40 * 86_400),
        Entry(path="/desk/young", mode=0o644, content=b"", changed=1e9 - 60),
    )
    with any_engine().open(FileTree(name="aged", entries=entries, made=1e9)) as machine:
        assert said(machine, "find /desk -type f -mtime -30; git status --short") == "/desk/young\n"
        assert said(machine, "find /desk -type f -mtime +39 -mtime -41") == "/desk/old\n"
