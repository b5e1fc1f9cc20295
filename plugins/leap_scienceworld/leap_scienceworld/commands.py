"""What ScienceWorld adds to ``leap check``, ``leap bench`` and ``leap play``."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.core.protocols import Episode
from leap_exp.core.types import Task
from leap_exp.envs.terminal import choose_task, play_task
from leap_scienceworld.config import ScienceWorldConfig
from leap_scienceworld.environment import ScienceWorldEnvironment
from leap_scienceworld.original import OriginalStep, gold_path, original
from leap_scienceworld.original import play as play_original

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
    """Measure steps per second here and in the package's own class, start, replacement and memory of a simulator."""
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=["boil"], simulators=simulators))
    started = time.perf_counter()
    task = environment.tasks("train")[0]
    start_seconds = time.perf_counter() - started
    actions = ["open door to kitchen", "go to kitchen", *["look around", "examine sink", "wait1"] * steps][:steps]
    with original(same_java=False) as other:
        stock = _timed(lambda: [each.text for each in play_original(other, environment.world(task), actions)])
    # Warmed up, as the original is by its reset.
    _play_side_by_side(environment, task, actions[:5], count=simulators)
    ours = _timed(lambda: _play_side_by_side(environment, task, actions, count=1))
    many = _timed(lambda: _play_side_by_side(environment, task, actions, count=simulators))
    return {
        "benchmark": "scienceworld",
        "listing_seconds": round(start_seconds, 2),
        "original_steps_per_second": round(steps / stock, 1),
        "steps_per_second": round(steps / ours, 1),
        "steps_per_second_together": round(steps * simulators / many, 1),
        "original_ratio": round(stock / ours, 2),
        "replacement_seconds": round(_replacement(environment, task, actions[:10]), 2),
        "memory_mb": max(_memory_mb(pid) for pid in environment.pool.pids),
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


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _play_side_by_side(environment: ScienceWorldEnvironment, task: Task, actions: Sequence[str], *, count: int) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        episodes = [stack.enter_context(environment.open(task, seed=0)) for _ in range(count)]
        list(threads.map(lambda episode: [episode.step(action) for action in actions], episodes))


def _replacement(environment: ScienceWorldEnvironment, task: Task, actions: Sequence[str]) -> float:
    """Return the seconds of a step whose simulator was killed, after ``actions``."""
    with environment.open(task, seed=0) as episode:
        for action in actions:
            episode.step(action)
        environment.pool.kill_all()
        return _timed(lambda: episode.step("look around"))


def _memory_mb(pid: int) -> int:
    fields = dict(_status(pid))
    return int(fields["VmHWM"].split()[0]) // _KILOBYTE


def _status(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        yield name, value
