"""What is bubblewrap's own: the machine's programs beneath, and nothing that outlives the process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits
from tests.sandboxes import TREE, bash, ends, is_running, said


def test_the_machines_programs_cannot_be_changed(engine):
    with engine().open(TREE) as machine:
        assert "Read-only" in said(machine, "touch /usr/mine")


def test_the_disk_is_bounded_in_files(engine):
    with engine(disk_mib=8, seconds=30).open(TREE) as machine:
        outcome = bash(machine, "mkdir /desk/many; cd /desk/many; seq 40000 | xargs touch")
        assert outcome.exit_code != 0
        assert b"No space left" in outcome.output


def test_nothing_is_left_when_the_process_is_killed_amid_a_command(data, engine):
    engine()
    code = (
        "from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine\n"
        "from leap_exp.envs.intercode_bash.sandbox import Limits\n"
        "from tests.sandboxes import TREE\n"
        "with BubblewrapEngine(base='host', limits=Limits(seconds=60)).open(TREE) as machine:\n"
        "    print('open', flush=True)\n"
        "    machine.run(['/bin/bash', '-c', 'sleep 54.321'], workdir='/')\n"
    )
    mounts = Path("/proc/mounts").read_text()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        deadline = time.monotonic() + 10
        while not is_running("sleep", "54.321") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert is_running("sleep", "54.321")
        process.send_signal(signal.SIGKILL)
    assert ends("sleep", "54.321")
    assert Path("/proc/mounts").read_text() == mounts
    assert not list((data / "intercode" / "sandboxes" / "mounted").iterdir())


def test_a_base_that_is_not_there_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"env\.base=host"):
        BubblewrapEngine(base="rootfs", limits=Limits())
