"""What ScienceWorld adds to ``leap check``, ``leap bench`` and ``leap play``."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from leap_exp.core.environments import Episode
from leap_exp.core.types import Task
from leap_exp.envs.terminal import choose_task, play_task
from leap_scienceworld.config import ScienceWorldConfig
from leap_scienceworld.environment import ScienceWorldEnvironment
from leap_scienceworld.original import OriginalStep, gold_path, original
from leap_scienceworld.original import play as play_original

T = TypeVar("T")

_KILOBYTE = 1024


def check(
    split: Annotated[str, typer.Option(help="Split of the variations.")] = "dev",
    tasks: Annotated[str, typer.Option(help="Names of tasks, separated by commas; all 30 if empty.")] = "",
    variations: Annotated[int, typer.Option(help="Variations of each task, from the first.")] = 1,
    same_java: Annotated[
        bool, typer.Option(help="Whether the original gets the Java options too, without which it repeats nothing.")
    ] = True,
) -> int:
    """Play gold paths here and in the package's own class, and compare all that they show."""
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=_names(tasks), variations=variations, simulators=1))
    steps = differences = solved = 0
    listed = environment.tasks(split)
    with original(same_java=same_java) as other:
        for task in listed:
            world = environment.world(task)
            actions = gold_path(other, world)
            expected = list(play_original(other, world, actions))
            with environment.open(task, seed=0) as episode:
                found = _first_difference(episode, actions, expected)
            steps += len(expected)
            solved += expected[-1].score == 100
            differences += bool(found)
            print(f"{task.id}: {found or 'equal'}, {len(expected)} steps, {expected[-1].score} points", flush=True)
    print(
        f"{differences} of {len(listed)} gold paths differ, {steps} steps compared; the original's own paths reach 100 "
        f"points in {solved}."
    )
    return int(differences > 0)


def bench(
    simulators: Annotated[int, typer.Option(help="Simulators that run at a time.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps in each episode.")] = 60,
) -> dict[str, object]:
    """Measure steps per second here and in the package's own class, start, replacement and memory of a simulator.

    Rates are also given per second of a core, JVMs included, which depends little on what else runs.
    """
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=["boil"], simulators=simulators))
    task, listing = _timed(lambda: environment.tasks("train")[0])
    actions = ["open door to kitchen", "go to kitchen", *["look around", "examine sink", "wait1"] * steps][:steps]
    with original(same_java=False) as other:
        world = environment.world(task)
        # The first steps of a JVM are slow.
        list(play_original(other, world, actions[:5]))
        _, stock = _timed(lambda: list(play_original(other, world, actions)))
    _play_side_by_side(environment, task, actions[:5], count=simulators)
    _, ours = _timed(lambda: _play_side_by_side(environment, task, actions, count=1))
    _, many = _timed(lambda: _play_side_by_side(environment, task, actions, count=simulators))
    memory = max(_memory_mb(pid) for pid in environment.pool.pids)
    return {
        "benchmark": "scienceworld",
        "listing_seconds": round(listing.wall, 2),
        "original_steps_per_second": round(steps / stock.wall, 1),
        "steps_per_second": round(steps / ours.wall, 1),
        "steps_per_second_together": round(steps * simulators / many.wall, 1),
        "original_steps_per_core_second": round(steps / stock.cores, 1),
        "steps_per_core_second": round(steps / ours.cores, 1),
        "steps_per_core_second_together": round(steps * simulators / many.cores, 1),
        "steps_per_core_second_ratio": round(stock.cores / ours.cores, 2),
        "replacement_core_seconds": round(_replacement(environment, task, actions[:10]).cores, 2),
        "memory_mb": memory,
    }


def play(
    task: Annotated[str, typer.Option(help="Name of the task.")] = "boil",
    split: Annotated[str, typer.Option(help="Split of the variation.")] = "train",
    variation: Annotated[int, typer.Option(help="Index of the variation in the split, counted from 0.")] = 0,
) -> None:
    """Do a science task in the terminal."""
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=[task], simulators=1))
    play_task(environment, choose_task(environment, split, variation))


def _first_difference(episode: Episode, actions: Sequence[str], expected: Sequence[OriginalStep]) -> str:
    """Return what the episode shows otherwise than expected, at the first step where it does; empty if nowhere."""
    shown = episode.observation
    first = expected[0]
    if not shown.text.endswith(first.text) or shown.admissible_actions != first.actions:
        return "the starts differ"
    for number, (action, step) in enumerate(zip(actions, expected[1:], strict=True), start=1):
        transition = episode.step(action)
        score = max(0, step.score) / 100
        ours = (transition.observation.text, transition.done, round(100 * transition.reward), episode.score())
        if ours != (step.text, step.done, step.reward, score):
            return f"step {number}, {action!r}: {ours} here, {(step.text, step.done, step.reward, score)} there"
        if transition.observation.admissible_actions != step.actions:
            unlike = set(transition.observation.admissible_actions or ()) ^ set(step.actions)
            return f"step {number}, {action!r}: {len(unlike)} actions are listed on one side only: {sorted(unlike)[:4]}"
    return ""


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


class _Seconds(NamedTuple):
    """How long something took, and how long cores worked on it."""

    wall: float
    cores: float


def _timed(work: Callable[[], T]) -> tuple[T, _Seconds]:
    wall, cores = time.perf_counter(), _core_seconds()
    result = work()
    return result, _Seconds(time.perf_counter() - wall, _core_seconds() - cores)


def _core_seconds() -> float:
    """Return the processor time of this process and of its children, also those that have ended."""
    children = {pid for thread in Path("/proc/self/task").iterdir() for pid in _read(thread / "children").split()}
    stats = [_read(Path(f"/proc/{pid}/stat")) for pid in children]
    ticks = sum(int(ticks) for stat in stats for ticks in stat.rpartition(")")[2].split()[11:13])
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system + ticks / os.sysconf("SC_CLK_TCK")


def _read(path: Path) -> str:
    """Return what is in a file of a thread or process; nothing if that has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _play_side_by_side(environment: ScienceWorldEnvironment, task: Task, actions: Sequence[str], *, count: int) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        episodes = [stack.enter_context(environment.open(task, seed=0)) for _ in range(count)]
        list(threads.map(lambda episode: [episode.step(action) for action in actions], episodes))


def _replacement(environment: ScienceWorldEnvironment, task: Task, actions: Sequence[str]) -> _Seconds:
    """Return how long a step takes whose simulator was killed, after ``actions``."""
    with environment.open(task, seed=0) as episode:
        for action in actions:
            episode.step(action)
        environment.pool.kill_all()
        _, seconds = _timed(lambda: episode.step("look around"))
    return seconds


def _memory_mb(pid: int) -> int:
    fields = dict(_status(pid))
    return int(fields["VmHWM"].split()[0]) // _KILOBYTE


def _status(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        yield name, value
