"""Behaviour of bubblewrap sandboxes only: they use the machine's programs and end with the process."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from leap_exp.core.errors import DataError, EnvError
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits
from tests.support.sandboxes import TREE, bash, becomes, is_running, output_of


def test_the_machines_programs_are_read_only(engine):
    with engine().open(TREE) as machine:
        assert "Read-only" in output_of(machine, "touch /usr/mine")


def test_the_number_of_files_is_limited(engine):
    with engine(disk_mib=8, seconds=30).open(TREE) as machine:
        result = bash(machine, "mkdir /desk/many; cd /desk/many; seq 40000 | xargs touch")
        assert result.exit_code != 0
        assert b"No space left" in result.output


def test_background_processes_of_a_resident_sandbox_run_until_it_is_closed(engine):
    engine = engine(resident=True)
    with engine.open(TREE) as machine, engine.open(TREE) as other:
        assert output_of(machine, "ps -o ppid= -p $$; cat /proc/1/comm").split() == ["0", "bash"]
        assert bash(machine, "sleep 54.231 > /dev/null 2>&1 & echo done").output == b"done\n"
        assert "54.231" in output_of(machine, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "54.231" not in output_of(other, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        names = {output_of(machine, "hostname"), output_of(machine, "echo $HOSTNAME"), output_of(other, "hostname")}
        assert [len(name) for name in names] == [13, 13]
    assert becomes(lambda: not is_running("sleep", "54.231"))


def test_nothing_is_left_when_the_process_is_killed_during_a_command(engine):
    engine = engine()
    code = (
        "from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine\n"
        "from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits\n"
        "from tests.support.sandboxes import TREE\n"
        "with BubblewrapEngine(base=BaseKind.HOST, limits=Limits(seconds=60)).open(TREE) as machine:\n"
        "    print('open', flush=True)\n"
        "    machine.run(['/bin/bash', '-c', 'sleep 54.321'], workdir='/')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert becomes(lambda: is_running("sleep", "54.321"))
        assert engine.orphans()["mounts"]
        process.send_signal(signal.SIGKILL)
    assert becomes(lambda: not any(engine.orphans().values()))


def test_the_error_for_a_missing_base_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"env\.base=host"):
        BubblewrapEngine(base=BaseKind.ROOTFS, limits=Limits())


def test_the_error_for_a_read_only_folder_names_it(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "file"))
    with pytest.raises(EnvError, match=r"file/intercode/sandboxes.*LEAP_DATA"):
        BubblewrapEngine(base=BaseKind.HOST, limits=Limits())


def test_an_engine_removes_its_own_folders(engine, data):
    engine = engine()
    with engine.open(replace(TREE, made=0.0)):
        assert len(list((data / "intercode" / "sandboxes").glob("fresh-*"))) == 1
    del engine
    assert not list((data / "intercode" / "sandboxes").glob("fresh-*"))
