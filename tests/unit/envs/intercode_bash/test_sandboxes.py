"""Behaviour and isolation of sandboxes of both kinds."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leap_exp.envs.intercode_bash.engine.sandbox import Resource
from leap_exp.envs.intercode_bash.engine.trees import Entry, FileTree
from tests.support.sandboxes import TREE, bash, becomes, is_running, output_of


def test_a_sandbox_has_the_tree_in_a_clean_git_repository_without_empty_folders(sandbox):
    assert output_of(sandbox, "cat /desk/note.txt; stat -c %a /desk/drawer/list.csv") == "call back\n600\n"
    assert output_of(sandbox, "git status --short; ls /desk") == "drawer\nnote.txt\n"


def test_changes_persist_between_commands_but_not_between_sandboxes(any_engine):
    engine = any_engine()
    with engine.open(TREE) as first, engine.open(TREE) as second:
        bash(first, "echo new > /desk/new.txt; rm /desk/note.txt")
        assert output_of(first, "git status --short") == " D desk/note.txt\n?? desk/new.txt\n"
        assert output_of(second, "git status --short") == ""
    with engine.open(TREE) as third:
        assert output_of(third, "cat /desk/note.txt") == "call back\n"


def test_a_result_has_the_exit_code_and_both_outputs_in_order(sandbox):
    result = bash(sandbox, "echo one; echo two >&2; echo three; exit 7")
    assert (result.output, result.exit_code, result.exceeded) == (b"one\ntwo\nthree\n", 7, None)


def test_a_missing_program_or_folder_gives_the_message_of_docker(sandbox):
    result = sandbox.run(["md5deep-of-nowhere", "-r", "x"], workdir="/")
    assert result.exit_code in (126, 127)
    assert b'exec: "md5deep-of-nowhere": executable file not found in $PATH' in result.output
    result = sandbox.run(["ls"], workdir="/desk/none")
    assert result.exit_code == 126
    assert b'chdir to cwd ("/desk/none")' in result.output


def test_a_file_outside_the_base_cannot_be_read(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    assert "No such file" in output_of(sandbox, f"cat {secret}")
    assert "not for you" not in output_of(sandbox, f"cat /proc/*/root{secret} /proc/1/cwd{secret} 2>&1")


def test_nothing_outside_the_overlay_can_be_written(sandbox):
    before = sorted(Path("/").iterdir()), sorted(Path("/usr").iterdir())
    assert bash(sandbox, "mount -o remount,rw /usr").exit_code != 0
    assert bash(sandbox, "mount -t tmpfs none /desk").exit_code != 0
    # Only the permission is tested: writing to these files would affect the machine.
    for name in ("sysrq-trigger", "sys/kernel/core_pattern", "irq/default_smp_affinity"):
        assert bash(sandbox, f"test -e /proc/{name} -a -w /proc/{name}").exit_code != 0
    assert bash(sandbox, "mknod /desk/disk b 8 0").exit_code != 0
    bash(sandbox, "touch /mine /usr/mine")
    assert (sorted(Path("/").iterdir()), sorted(Path("/usr").iterdir())) == before


def test_there_is_no_network(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert bash(sandbox, f"exec 3<>/dev/tcp/127.0.0.1/{port}").exit_code != 0
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert output_of(sandbox, "cat /proc/net/route | tail -n +2") == ""


def test_other_processes_are_invisible_and_cannot_be_signalled(any_engine):
    engine = any_engine()
    with engine.open(TREE) as first, engine.open(TREE) as second, ThreadPoolExecutor() as pool:
        running = pool.submit(bash, first, "sleep 1.5; echo survived")
        time.sleep(0.3)
        assert str(os.getpid()) not in output_of(second, "ls /proc").split()
        bash(second, f"kill -9 {os.getpid()}; kill -9 -1")
        assert running.result().output == b"survived\n"


def test_a_fork_bomb_is_killed_completely(any_engine):
    with any_engine(processes=64, seconds=20).open(TREE) as machine:
        result = bash(machine, "bomb() { bomb | bomb & }; bomb; sleep 15")
        assert result.exceeded is Resource.PROCESSES
        assert output_of(machine, "ls -d /proc/[0-9]* | wc -l").strip() in {"3", "4", "5"}


def test_memory_is_limited_for_one_process_and_for_all_together(any_engine):
    with any_engine(memory_mib=128, seconds=20).open(TREE) as machine:
        assert bash(machine, "head -c 1G /dev/zero | tail -c 900M | wc -c").output != b"943718400\n"
        hog = "head -c 60M /dev/zero | tail -c 60M | (sleep 5; cat > /dev/null) &"
        assert bash(machine, f"{hog} {hog} {hog} {hog} wait").exceeded is Resource.MEMORY


def test_the_disk_is_limited(any_engine):
    with any_engine(disk_mib=8, seconds=30).open(TREE) as machine:
        assert bash(machine, "dd if=/dev/zero of=/desk/big bs=1M count=64").exit_code != 0
        assert bash(machine, "for i in 1 2 3 4; do head -c 4M /dev/zero > /desk/part$i || exit 1; done").exit_code != 0
        assert bash(machine, "rm /desk/part* /desk/big; echo fits > /desk/small").exit_code == 0


@pytest.mark.parametrize(
    "command", ["sleep 60", "trap '' TERM INT HUP; while :; do sleep 1; done", "exec >&-; sleep 60"]
)
def test_a_command_that_never_ends_is_killed_with_its_children(any_engine, command):
    with any_engine(seconds=0.5).open(TREE) as machine:
        started = time.monotonic()
        result = bash(machine, command)
        assert result.exceeded is Resource.TIME
        assert result.exit_code is None
        assert time.monotonic() - started < 5
        assert output_of(machine, "ls -d /proc/[0-9]* | wc -l").strip() in {"3", "4", "5"}


def test_a_command_with_endless_output_is_killed_and_its_output_cut(any_engine):
    with any_engine(output_bytes=100_000).open(TREE) as machine:
        result = bash(machine, "yes")
        assert result.exceeded is Resource.OUTPUT
        assert result.output == b"y\n" * 50_000


@pytest.mark.parametrize("command", ["yes | tr -d '\\n'", "yes"])
def test_a_command_that_never_stops_writing_runs_out_of_time_if_the_output_kills_none(any_engine, command):
    with any_engine(output_bytes=100_000, kill_at_output=False, seconds=1).open(TREE) as machine:
        assert bash(machine, command).exceeded is Resource.TIME
        result = bash(machine, "seq 100000; exit 3")
        assert (len(result.output), result.exit_code, result.exceeded) == (100_000, 3, Resource.OUTPUT)
        assert output_of(machine, "cat /desk/note.txt") == "call back\n"


def test_background_processes_end_with_their_command(any_engine):
    with any_engine().open(TREE) as machine:
        started = time.monotonic()
        assert bash(machine, "sleep 54.123 & echo done").output == b"done\n"
        assert time.monotonic() - started < 10
    assert becomes(lambda: not is_running("sleep", "54.123"))


def test_many_sandboxes_can_be_used_at_once(any_engine):
    engine = any_engine()

    def episode(number):
        with engine.open(TREE) as machine:
            return output_of(machine, f"echo {number} > /desk/mine") + output_of(
                machine, "cat /desk/mine; git status --short"
            )

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(episode, range(8))) == [f"{number}\n?? desk/mine\n" for number in range(8)]


def test_files_of_a_recorded_tree_keep_their_age(any_engine):
    entries = (
        Entry(path="/desk", mode=0o755),
        Entry(path="/desk/old", mode=0o644, content=b"", changed=1e9 - 40 * 86_400),
        Entry(path="/desk/young", mode=0o644, content=b"", changed=1e9 - 60),
    )
    with any_engine().open(FileTree(name="aged", entries=entries, made=1e9)) as machine:
        assert output_of(machine, "find /desk -type f -mtime -30; git status --short") == "/desk/young\n"
        assert output_of(machine, "find /desk -type f -mtime +39 -mtime -41") == "/desk/old\n"
