"""Random play for ``leap bench environments``: many episodes at a time, in one thread, threads, tasks or processes."""

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random

from leap_exp.config.registry import settings_classes
from leap_exp.core.environments import Environment, Episode
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import QUERY_SLOT, Task

_EPISODES_PER_TASK = 8
"""As many episodes of a task run at a time as in training by groups."""

_QUERY_WORDS = 4
_COMMANDS = ("ls", "pwd", "ls -l /etc", "cat /etc/hostname", "echo one > note.txt", "wc -l /etc/passwd", "date")
"""Commands for a shell, which lists no admissible actions."""

_START_TIMEOUT_SECONDS = 600


class Way(StrEnum):
    """How episodes run at a time."""

    IN_TURN = "in_turn"
    """One thread steps each episode in turn."""
    THREADS = "threads"
    """Each thread steps its share of the episodes."""
    ASYNCIO = "asyncio"
    """Each episode is a task of one event loop."""
    PROCESSES = "processes"
    """Each process has an environment of its own and steps its share of the episodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        environment: Name of the environment.
        settings: Those of its settings that differ from the defaults.
        way: How the episodes run.
        episodes: How many are open at a time, in all processes together.
        workers: How many processes or threads there are.
        seconds: How long to play, apart from opening episodes.
    """

    environment: str
    settings: Mapping[str, str]
    way: Way = Way.IN_TURN
    episodes: int = 1
    workers: int = 1
    seconds: float = 5.0


@dataclass(slots=True, kw_only=True)
class Speed:
    """What was played.

    Attributes:
        steps: Number of steps.
        step_seconds: Wall-clock seconds of steps.
        core_seconds: Seconds of processor time of steps, with those of programs that the environment runs.
        opened: Number of episodes opened.
        open_seconds: Wall-clock seconds of opening them.
    """

    steps: int = 0
    step_seconds: float = 0.0
    core_seconds: float = 0.0
    opened: int = 0
    open_seconds: float = 0.0


def measure(plan: Plan) -> Sequence[Speed]:
    """Carry out ``plan`` in new processes, one unless its way is ``PROCESSES``; return what each of them played."""
    processes = plan.workers if plan.way is Way.PROCESSES else 1
    share = replace(plan, episodes=plan.episodes // processes)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_keep, initargs=(barrier,)) as pool:
        return list(pool.map(_play, [share] * processes))


def memory_per_episode(plan: Plan) -> float:
    """Return how many bytes of resident memory an open episode of ``plan`` adds to a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_memory_per_episode, plan).result()


_barrier: Barrier | None = None
"""Where the processes of a measurement wait for each other."""


def _keep(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _play(plan: Plan) -> Speed:
    """Play rounds of new episodes until the steps have taken ``plan.seconds``. A first, short round is not counted."""
    table = _Table(plan)
    table.play_round(replace(plan, episodes=min(plan.episodes, _EPISODES_PER_TASK), seconds=plan.seconds / 4), Speed())
    gc.collect()
    gc.freeze()
    if _barrier:
        _barrier.wait(_START_TIMEOUT_SECONDS)
    speed = Speed()
    while speed.step_seconds < plan.seconds:
        table.play_round(replace(plan, seconds=plan.seconds - speed.step_seconds), speed)
    return speed


def _memory_per_episode(plan: Plan) -> float:
    table = _Table(plan)
    table.play_round(replace(plan, episodes=1), Speed())
    with ExitStack() as stack:
        gc.collect()
        before = _resident_bytes()
        players = table.open_all(stack, plan.episodes)
        _in_turn(players, table.longest, time.perf_counter() + plan.seconds)
        gc.collect()
        return (_resident_bytes() - before) / plan.episodes


def _resident_bytes() -> int:
    """Return the memory that this process has in use (Linux only)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Table:
    """An environment with its tasks, of which new ones come up in every round."""

    def __init__(self, plan: Plan) -> None:
        settings = settings_classes("env")[plan.environment](**plan.settings)
        self.environment: Environment = settings.build()
        self.environment.prepare()
        self.longest = settings.max_steps_train
        self._tasks = self.environment.tasks(settings.train_split)
        self._numbers = count()
        self.loop = asyncio.Runner()

    def play_round(self, plan: Plan, speed: Speed) -> None:
        """Open new episodes, step them until they end or the time is up, and add what was played to ``speed``."""
        with ExitStack() as stack:
            started = time.perf_counter()
            players = self.open_all(stack, plan.episodes)
            opened, cores = time.perf_counter(), _core_seconds()
            _RUNNERS[plan.way](self, plan, players, opened + plan.seconds)
            speed.step_seconds += time.perf_counter() - opened
            speed.core_seconds += _core_seconds() - cores
            speed.steps += sum(player.steps for player in players)
            speed.open_seconds += opened - started
            speed.opened += len(players)

    def open_all(self, stack: ExitStack, episodes: int) -> "list[_Player]":
        """Open episodes of the next tasks."""
        players = []
        for index in range(episodes):
            if index % _EPISODES_PER_TASK == 0:
                task = self._tasks[next(self._numbers) % len(self._tasks)]
            players.append(_Player(stack.enter_context(self.environment.open(task, seed=index)), task, index))
        return players


def _core_seconds() -> float:
    """Return the processor time of this process and of the programs that it ran."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


@dataclass(slots=True)
class _Player:
    """Plays an episode with random actions."""

    episode: Episode
    task: Task
    seed: int
    steps: int = 0
    done: bool = False
    rng: Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Random(derive_seed(0, "bench", self.task.id, self.seed))

    def step(self) -> None:
        """Take a random action."""
        self.done = self.episode.step(self._action()).done
        self.steps += 1

    def _action(self) -> str:
        actions = self.episode.observation.admissible_actions
        action = self.rng.choice(_COMMANDS if actions is None else actions)
        if QUERY_SLOT not in action:
            return action
        words = self.task.instruction.split()
        return action.replace(QUERY_SLOT, " ".join(self.rng.sample(words, min(len(words), _QUERY_WORDS))))


def _in_turn(players: Sequence[_Player], longest: int, deadline: float) -> None:
    for _ in range(longest):
        for player in players:
            if not player.done:
                player.step()
                if time.perf_counter() > deadline:
                    return


def _run_in_turn(table: _Table, _plan: Plan, players: Sequence[_Player], deadline: float) -> None:
    _in_turn(players, table.longest, deadline)


def _run_threads(table: _Table, plan: Plan, players: Sequence[_Player], deadline: float) -> None:
    threads = max(plan.workers, table.environment.parallel_steps)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda share: _in_turn(share, table.longest, deadline), _shares(players, threads)))


def _shares(players: Sequence[_Player], number: int) -> Iterator[Sequence[_Player]]:
    return (players[index::number] for index in range(number))


def _run_asyncio(table: _Table, _plan: Plan, players: Sequence[_Player], deadline: float) -> None:
    """Step in the event loop, or in threads if the environment waits for other programs."""
    parallel = table.environment.parallel_steps

    async def play(player: _Player, pool: ThreadPoolExecutor) -> None:
        for _ in range(table.longest):
            if player.done or time.perf_counter() > deadline:
                return
            if parallel > 1:
                await asyncio.get_running_loop().run_in_executor(pool, player.step)
            else:
                player.step()
                await asyncio.sleep(0)

    async def play_all() -> None:
        with ThreadPoolExecutor(parallel) as pool:
            await asyncio.gather(*(play(player, pool) for player in players))

    table.loop.run(play_all())


_RUNNERS: Mapping[Way, Callable[[_Table, Plan, Sequence[_Player], float], None]] = {
    Way.IN_TURN: _run_in_turn,
    Way.THREADS: _run_threads,
    Way.ASYNCIO: _run_asyncio,
    Way.PROCESSES: _run_in_turn,
}
