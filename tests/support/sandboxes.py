"""Support for tests of sandboxes: a file tree, running commands, and skipping tests without sandboxes."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits
from leap_exp.envs.intercode_bash.engine.trees import Entry, FileTree

TREE = FileTree(
    name="small",
    entries=(
        Entry(path="/desk", mode=0o755),
        Entry(path="/desk/drawer", mode=0o755),
        Entry(path="/desk/drawer/list.csv", mode=0o600, content=b"pen,2\nink,1\n"),
        Entry(path="/desk/empty", mode=0o755),
        Entry(path="/desk/note.txt", mode=0o644, content=b"call back\n"),
    ),
)


def bash(machine, command):
    """Run a command line in bash."""
    return machine.run(["/bin/bash", "-c", command], workdir="/")


def output_of(machine, command):
    """Run a command line in bash and return its output as text."""
    return bash(machine, command).output.decode()


def is_running(*command: str) -> bool:
    """Return whether a process with exactly this command line runs on this machine."""
    wanted = "".join(f"{word}\0" for word in command).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False


def becomes(condition: Callable[[], bool]) -> bool:
    """Return whether ``condition`` becomes true within 10 seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def sandbox_settings(environment: str) -> list[str]:
    """Return the settings with which an environment uses bubblewrap; skip the test where that is impossible."""
    places = {"intercode_bash": "env", "joint": "env.intercode_bash"}
    if environment not in places:
        return []
    skip_without_sandboxes()
    return [f"{places[environment]}.sandbox=bubblewrap"]


def skip_without_sandboxes() -> None:
    """Skip the test if no bubblewrap sandbox can be opened; LEAP_DATA must be set."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    try:
        with BubblewrapEngine(base=BaseKind.HOST, limits=Limits()).open(TREE):
            pass
    except EnvError as error:
        pytest.skip(f"bubblewrap does not work here: {error}")
