"""Plays episodes in processes of which many are killed, and looks for what is left of them on the machine."""

from __future__ import annotations

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

from leap_exp.core.errors import EnvError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.installation import OnProgress, ignore_progress
from leap_exp.envs.intercode_bash.measure import measured_tree
from leap_exp.envs.intercode_bash.sandbox import SandboxEngine
from leap_exp.envs.intercode_bash.shell import SHELL

_AT_A_TIME = 4
"""Episodes that one process has open."""
_PROCESSES = 4
_DOOMED = 0.5
"""The share of processes that are killed."""
_LONGEST_LIFE_SECONDS = 2.0
"""Of those; playing takes about half of it."""
_SETTLING_SECONDS = 10.0
"""How long what was killed may take to be gone."""
_LOOK_EVERY_SECONDS = 0.005

_COMMANDS = (
    "ls -la /yard; git status --short",
    "echo more >> /yard/part3/file3.txt; cp -r /yard/part1 /yard/new",
    "sleep 1000 & echo left in the background",
    "find /yard -name '*7*' | sort; sleep 0.1; git status --short",
)
_ENDLESS = "trap '' TERM HUP INT; sleep 1000 & while :; do sleep 0.05; done"


MakeEngine = Callable[[], SandboxEngine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What was done, and what was left of it, by kind, a line each."""

    episodes: int
    commands: int
    processes: int
    killed: int
    left: Mapping[str, Sequence[str]]


class _Player:
    """A process that plays some episodes; one with a ``lifetime`` (seconds) goes on until it is killed."""

    def __init__(self, make_engine: MakeEngine, lifetime: float | None) -> None:
        # Shared without a lock, which the process could take to its grave.
        self.counts = RawArray(c_int, 2)
        self._killed_at = time.monotonic() + (math.inf if lifetime is None else lifetime)
        # Forked, as starting Python anew takes longer than playing.
        self._process = multiprocessing.get_context("fork").Process(
            target=_play, args=(make_engine, self.counts), kwargs={"endlessly": lifetime is not None}
        )
        self._process.start()

    def has_ended(self) -> bool:
        """Whether the process has ended; it is killed if that is due.

        Raises:
            EnvError: It failed of itself.
        """
        if time.monotonic() >= self._killed_at:
            self.kill()
        elif self._process.exitcode:
            raise EnvError(f"A process that played episodes failed with exit code {self._process.exitcode}.")
        return self._process.exitcode is not None

    def kill(self) -> None:
        """Kill the process, whatever it does."""
        self._process.kill()
        self._process.join()


def find_leftovers(
    make_engine: MakeEngine, *, episodes: int, seed: int, on_progress: OnProgress = ignore_progress
) -> Leftovers:
    """Open at least ``episodes`` sandboxes in several processes at once, half of which are killed.

    That happens at a random moment, while the process prepares file trees, opens sandboxes or waits for a command; if
    it gets to the end of its commands, the last is one that never ends. In the end another engine is started, as by the
    next run, and plays some episodes; what is there beside it then is left.

    Raises:
        EnvError: A process failed of itself.
    """
    rng = Random(derive_seed(seed, "leftovers"))
    before = make_engine().leftovers()
    running: list[_Player] = []
    counts = [0, 0]
    opened = started = killed = 0
    try:
        while running or opened < episodes:
            if opened < episodes and len(running) < _PROCESSES:
                lifetime = rng.uniform(0, _LONGEST_LIFE_SECONDS) if rng.random() < _DOOMED else None
                started += 1
                killed += lifetime is not None
                running.append(_Player(make_engine, lifetime))
            time.sleep(_LOOK_EVERY_SECONDS)
            ended = [player for player in running if player.has_ended()]
            running = [player for player in running if player not in ended]
            counts = [sum(each) for each in zip(counts, *(player.counts for player in ended), strict=True)]
            opened = counts[0] + sum(player.counts[0] for player in running)
            on_progress("episodes", min(opened, episodes), episodes)
    finally:
        for player in running:
            player.kill()
    engine = make_engine()
    _play(lambda: engine, counts, endlessly=False)
    left = _settled(engine, before)
    return Leftovers(episodes=counts[0], commands=counts[1], processes=started, killed=killed, left=left)


def _play(make_engine: MakeEngine, counts: MutableSequence[int], *, endlessly: bool) -> None:
    """Open some sandboxes and run commands in turn in each; ``counts`` has the numbers of both."""
    parent = os.getppid()
    engine = make_engine()
    tree = measured_tree()
    # One that has an age is prepared by every process for itself.
    trees = [tree, replace(tree, made=0.0)]
    with ExitStack() as stack:
        sandboxes = []
        for number in range(_AT_A_TIME):
            sandboxes.append(stack.enter_context(engine.open(trees[number % len(trees)])))
            counts[0] += 1
        for command in _COMMANDS:
            for sandbox in sandboxes:
                counts[1] += 1
                sandbox.run([SHELL, "-c", command], workdir="/")
        while endlessly and os.getppid() == parent:
            sandboxes[0].run([SHELL, "-c", _ENDLESS], workdir="/")


def _settled(engine: SandboxEngine, before: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """What is left that was not there ``before``, once nothing is or for good."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while True:
        left = {kind: sorted({*found} - {*before[kind]}) for kind, found in engine.leftovers().items()}
        if not any(left.values()) or time.monotonic() >= deadline:
            return left
        time.sleep(_LOOK_EVERY_SECONDS)
