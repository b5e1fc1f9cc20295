"""What tests of sandboxes share: whether there are any, a file tree, and a look at what runs on this machine."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits
from leap_exp.envs.intercode_bash.trees import Entry, FileTree

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
    return machine.run(["/bin/bash", "-c", command], workdir="/")


def said(machine, command):
    return bash(machine, command).output.decode()


def is_running(*command: str) -> bool:
    """Whether a process with exactly this command line runs anywhere on the machine."""
    wanted = "".join(f"{word}\0" for word in command).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False


def becomes(condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` holds within some seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def skip_without_sandboxes() -> None:
    """Skip the test, with the reason, where no sandbox can be opened; the data folder must be set."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    try:
        with BubblewrapEngine(base="host", limits=Limits()).open(TREE):
            pass
    except EnvError as error:
        pytest.skip(f"bubblewrap may not be used here: {error}")
