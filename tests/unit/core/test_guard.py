"""The program that ends a server with the process that started it, whatever ended that."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.core import guard

STUBBORN = """
trap "" TERM
setsid sh -c 'trap "" TERM; echo $$ > "$1/engine"; while true; do sleep 0.1; done' engine "$1" &
echo $$ > "$1/server"
while true; do sleep 0.1; done
"""
"""A server that ignores SIGTERM, as vLLM does while it starts, with an engine in a session of its own."""

GUARD = """
import sys
from leap_exp.core import guard
guard.TERM_SECONDS = 0.5
sys.exit(guard.run(int(sys.argv[1]), sys.argv[2:]))
"""

PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), "sh", "-c", sys.argv[2], "server", sys.argv[3]])
time.sleep(600)
"""


def pids(folder: Path) -> list[int]:
    """The processes of the stubborn server, once they run."""
    files = [folder / "server", folder / "engine"]
    deadline = time.monotonic() + 30
    while not all(file.exists() and file.read_text().strip() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(file.read_text()) for file in files]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def all_end(running: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(is_running, running)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_running, running))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ignores_sigterm_ends_with_its_engine_when_the_parent_is_killed(tmp_path, number):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, GUARD, STUBBORN, str(tmp_path)])
    running = pids(tmp_path)
    assert all(map(is_running, running))
    parent.send_signal(number)
    parent.wait()
    assert all_end(running)


def test_an_engine_does_not_outlive_a_server_that_is_killed(tmp_path):
    command = [sys.executable, "-c", GUARD, str(os.getpid()), "sh", "-c", STUBBORN, "server", str(tmp_path)]
    process = subprocess.Popen(command)
    server, engine = pids(tmp_path)
    os.kill(server, signal.SIGKILL)
    assert process.wait(30) == 128 + signal.SIGKILL
    assert all_end([engine])


def test_sigterm_to_the_guard_ends_the_server(tmp_path):
    command = [sys.executable, "-c", GUARD, str(os.getpid()), "sh", "-c", STUBBORN, "server", str(tmp_path)]
    process = subprocess.Popen(command)
    running = pids(tmp_path)
    process.terminate()
    process.wait(30)
    assert all_end(running)


def test_the_exit_status_is_that_of_the_command():
    command = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), "sh", "-c", "exit 3"]
    assert subprocess.run(command).returncode == 3
