"""Runs many sandboxes: to time them, and to check that killed processes leave nothing behind."""

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from contextlib import ExitStack
from ctypes import c_int
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import RawArray
from random import Random
from statistics import median, quantiles

from leap_exp.core.errors import EnvError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.datasets import OnProgress, ignore_progress
from leap_exp.envs.intercode_bash.engine.sandbox import SandboxEngine
from leap_exp.envs.intercode_bash.engine.shell import SHELL
from leap_exp.envs.intercode_bash.engine.trees import Entry, FileTree

_FILES = 40
_TIMED_COMMANDS = (
    "ls -la /yard",
    "find /yard -name '*7*' | sort",
    "grep -c line /yard/part3/file3.txt",
    "echo more >> /yard/part3/file3.txt; git status --short",
)

_SANDBOXES_PER_PROCESS = 4
_PROCESSES = 4
_KILLED_SHARE = 0.5
_MAXIMUM_LIFETIME_SECONDS = 2.0
"""Of a process that is killed. Its commands take about half of that."""
_SETTLING_SECONDS = 10.0
"""How long the kernel may take to end what was killed."""
_CHECK_EVERY_SECONDS = 0.005
_COMMANDS = (
    "ls -la /yard; git status --short",
    "echo more >> /yard/part3/file3.txt; cp -r /yard/part1 /yard/new",
    "sleep 1000 & echo left in the background",
    "find /yard -name '*7*' | sort; sleep 0.1; git status --short",
)
_ENDLESS = "trap '' TERM HUP INT; sleep 1000 & while :; do sleep 0.05; done"


MakeEngine = Callable[[], SandboxEngine]


def measure(engine: SandboxEngine, *, episodes: int, at_a_time: int) -> Mapping[str, float]:
    """Time opening ``episodes`` sandboxes, ``at_a_time`` of them open together, and some commands in each."""
    opening: list[float] = []
    steps: list[float] = []
    tree = _sample_tree()
    with engine.open(tree):
        pass  # Preparing a tree happens once, so it does not belong to an episode.
    for start in range(0, episodes, at_a_time):
        with ExitStack() as stack:
            sandboxes = []
            for _ in range(min(at_a_time, episodes - start)):
                started = time.perf_counter()
                sandboxes.append(stack.enter_context(engine.open(tree)))
                opening.append(time.perf_counter() - started)
            for command in _TIMED_COMMANDS:
                for sandbox in sandboxes:
                    started = time.perf_counter()
                    sandbox.run([SHELL, "-c", command], workdir="/")
                    steps.append(time.perf_counter() - started)
    return {
        "episodes": episodes,
        "at_a_time": at_a_time,
        "open_milliseconds": round(1e3 * median(opening), 1),
        "open_milliseconds_p95": round(1e3 * quantiles(opening, n=20)[-1], 1),
        "step_milliseconds": round(1e3 * median(steps), 1),
        "step_milliseconds_p95": round(1e3 * quantiles(steps, n=20)[-1], 1),
    }


def _sample_tree() -> FileTree:
    """Return a tree of a few dozen small files."""
    folders = [f"/yard/part{number}" for number in range(8)]
    files = [
        Entry(path=f"{folders[number % 8]}/file{number}.txt", mode=0o644, content=b"a line\n" * number)
        for number in range(_FILES)
    ]
    entries = [Entry(path=path, mode=0o755) for path in ("/yard", *folders)] + files
    return FileTree(name="measured", entries=tuple(entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanReport:
    """Counts of what was run, and the orphans that were found, by kind."""

    episodes: int
    commands: int
    processes: int
    killed: int
    orphans: Mapping[str, Sequence[str]]


class _Worker:
    """A process that opens sandboxes and runs commands; with a ``lifetime`` (seconds) it runs until it is killed."""

    def __init__(self, make_engine: MakeEngine, lifetime: float | None) -> None:
        # Shared without a lock: a killed process would never release it.
        self.counts = RawArray(c_int, 2)
        self._kill_at = time.monotonic() + (math.inf if lifetime is None else lifetime)
        # Forked, because starting Python takes longer than running the commands.
        self._process = multiprocessing.get_context("fork").Process(
            target=_work, args=(make_engine, self.counts), kwargs={"endless": lifetime is not None}
        )
        self._process.start()

    def has_ended(self) -> bool:
        """Return whether the process has ended; kills it when its lifetime is over.

        Raises:
            EnvError: The process failed.
        """
        if time.monotonic() >= self._kill_at:
            self.kill()
        elif self._process.exitcode:
            raise EnvError(f"A worker process failed with exit code {self._process.exitcode}; its error is above.")
        return self._process.exitcode is not None

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.join()


def find_orphans(
    make_engine: MakeEngine, *, episodes: int, seed: int, on_progress: OnProgress = ignore_progress
) -> OrphanReport:
    """Open at least ``episodes`` sandboxes in parallel processes, kill half of the processes, and look for orphans.

    A process is killed at a random moment: while it prepares a file tree, opens a sandbox or runs a command; if it
    finishes its commands, it runs an endless one. At the end another engine is started, as the next run would do, and
    opens some sandboxes. Whatever else is left is an orphan.

    Raises:
        EnvError: A process failed without being killed.
    """
    # The scope keeps its first name, so that a seed still gives the same moments.
    rng = Random(derive_seed(seed, "leftovers"))
    before = make_engine().orphans()
    running: list[_Worker] = []
    counts = [0, 0]
    opened = started = killed = 0
    try:
        while running or opened < episodes:
            if opened < episodes and len(running) < _PROCESSES:
                lifetime = rng.uniform(0, _MAXIMUM_LIFETIME_SECONDS) if rng.random() < _KILLED_SHARE else None
                started += 1
                killed += lifetime is not None
                running.append(_Worker(make_engine, lifetime))
            time.sleep(_CHECK_EVERY_SECONDS)
            ended = [worker for worker in running if worker.has_ended()]
            running = [worker for worker in running if worker not in ended]
            counts = [sum(each) for each in zip(counts, *(worker.counts for worker in ended), strict=True)]
            opened = counts[0] + sum(worker.counts[0] for worker in running)
            on_progress("episodes", min(opened, episodes), episodes)
    finally:
        for worker in running:
            worker.kill()
    engine = make_engine()
    _work(lambda: engine, counts, endless=False)
    orphans = _settled_orphans(engine, before)
    return OrphanReport(episodes=counts[0], commands=counts[1], processes=started, killed=killed, orphans=orphans)


def _work(make_engine: MakeEngine, counts: MutableSequence[int], *, endless: bool) -> None:
    """Open some sandboxes and run commands in each; adds the numbers of both to ``counts``."""
    parent = os.getppid()
    engine = make_engine()
    tree = _sample_tree()
    # The second is a recorded tree, which every process prepares for itself.
    trees = [tree, replace(tree, made=0.0)]
    with ExitStack() as stack:
        sandboxes = []
        for number in range(_SANDBOXES_PER_PROCESS):
            sandboxes.append(stack.enter_context(engine.open(trees[number % len(trees)])))
            counts[0] += 1
        for command in _COMMANDS:
            for sandbox in sandboxes:
                counts[1] += 1
                sandbox.run([SHELL, "-c", command], workdir="/")
        while endless and os.getppid() == parent:
            sandboxes[0].run([SHELL, "-c", _ENDLESS], workdir="/")


def _settled_orphans(engine: SandboxEngine, before: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Wait until there are no new orphans, or for ``_SETTLING_SECONDS``; returns those that are not in ``before``."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while True:
        orphans = {kind: sorted({*found} - {*before[kind]}) for kind, found in engine.orphans().items()}
        if not any(orphans.values()) or time.monotonic() >= deadline:
            return orphans
        time.sleep(_CHECK_EVERY_SECONDS)
