"""What sandboxes cost: opening an episode, and a command in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median, quantiles

from leap_exp.envs.intercode_bash.sandbox import SandboxEngine
from leap_exp.envs.intercode_bash.shell import SHELL
from leap_exp.envs.intercode_bash.trees import Entry, FileTree

_FILES = 40
_COMMANDS = (
    "ls -la /yard",
    "find /yard -name '*7*' | sort",
    "grep -c line /yard/part3/file3.txt",
    "echo more >> /yard/part3/file3.txt; git status --short",
)


def measure(engine: SandboxEngine, *, episodes: int, at_a_time: int) -> Mapping[str, float]:
    """Open ``episodes`` sandboxes, ``at_a_time`` of them at once, and run some commands in turn in each."""
    opening: list[float] = []
    steps: list[float] = []
    tree = measured_tree()
    with engine.open(tree):
        pass  # What is done once a file tree belongs to no episode.
    for start in range(0, episodes, at_a_time):
        with ExitStack() as stack:
            sandboxes = []
            for _ in range(min(at_a_time, episodes - start)):
                began = time.perf_counter()
                sandboxes.append(stack.enter_context(engine.open(tree)))
                opening.append(time.perf_counter() - began)
            for command in _COMMANDS:
                for sandbox in sandboxes:
                    began = time.perf_counter()
                    sandbox.run([SHELL, "-c", command], workdir="/")
                    steps.append(time.perf_counter() - began)
    return {
        "episodes": episodes,
        "at_a_time": at_a_time,
        "open_milliseconds": round(1e3 * median(opening), 1),
        "open_milliseconds_p95": round(1e3 * quantiles(opening, n=20)[-1], 1),
        "step_milliseconds": round(1e3 * median(steps), 1),
        "step_milliseconds_p95": round(1e3 * quantiles(steps, n=20)[-1], 1),
    }


def measured_tree() -> FileTree:
    """Some dozens of small files."""
    folders = [f"/yard/part{number}" for number in range(8)]
    files = [
        Entry(path=f"{folders[number % 8]}/file{number}.txt", mode=0o644, content=b"a line\n" * number)
        for number in range(_FILES)
    ]
    entries = [Entry(path=path, mode=0o755) for path in ("/yard", *folders)] + files
    return FileTree(name="measured", entries=tuple(entries))
