"""``leap bench environments``: steps per second and memory of the environments, in every way of running episodes."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Annotated

import typer

from leap_exp.cli.bench_playing import Plan, Speed, Way, measure, memory_per_episode
from leap_exp.cli.commands import commands_module
from leap_exp.config.registry import settings_classes
from leap_exp.core.errors import ConfigError

_AT_A_TIME = (1, 64, 1024)
_ORIGINALS_IN_MEMORY = 4

Figures = dict[str, object]


def environments(
    env: Annotated[list[str] | None, typer.Option(help="An environment; repeat for several. Default: all.")] = None,
    at_a_time: Annotated[
        list[int] | None, typer.Option(min=1, help="Episodes at a time; repeat for several. Default: 1, 64 and 1024.")
    ] = None,
    way: Annotated[list[Way] | None, typer.Option(help="How episodes run; repeat for several. Default: all.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ENV.NAME=TEXT", help="A setting, such as alfworld.games=official; repeat."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, or threads. Default: one per core.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of steps in each measurement.")] = 5.0,
) -> None:
    """Measure steps with many episodes at a time, and memory, beside the original environments.

    Episodes take random actions, eight episodes the same task. Opening them is timed apart from their steps.
    """
    settings = _settings(setting or ())
    counts, ways = sorted(set(at_a_time or _AT_A_TIME)), way or list(Way)
    cores = os.cpu_count() or 1
    figures: Figures = {"benchmark": "environments", "cores": cores, "workers": workers or cores}
    for name in env or settings_classes("env"):
        commands_module(name)  # Refuses an unknown name before anything is measured.
        plan = Plan(environment=name, settings=settings.get(name, {}), workers=workers or cores, seconds=seconds)
        figures[name] = _of_environment(plan, counts, ways)
        if original := _original(plan):
            figures[f"{name}_original"] = original
            # Where both are measured, other processes on the machine do not distort the times of the cores.
            unit = "steps_per_second" if "recorded" in original else "steps_per_core_second"
            ratio = _measured(replace(plan, episodes=1))[unit] / original[unit]
            figures[f"{name}_{unit}_ratio"] = round(ratio, 1)
    print(json.dumps(figures))


def _settings(assignments: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    """Return the settings of each environment.

    Raises:
        ConfigError: An assignment is not ENV.NAME=TEXT, or names a setting that is unknown or not a text.
    """
    classes = settings_classes("env")
    found: dict[str, dict[str, str]] = {}
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        name, _, key = place.partition(".")
        known = [field.name for field in fields(classes[name]) if field.type in (str, "str")] if name in classes else []
        if not equals or key not in known:
            choices = ", ".join(f"{name}.{key}" for key in known) or ", ".join(f"{name}.NAME" for name in classes)
            raise ConfigError(f"--set {assignment} is not valid: give one of {choices}, then = and a text.")
        found.setdefault(name, {})[key] = text
    return found


def _of_environment(plan: Plan, counts: Sequence[int], ways: Sequence[Way]) -> Figures:
    """Return the figures of an environment with many episodes at a time."""
    figures: Figures = {}
    for episodes in counts:
        for way in ways:
            if episodes >= (plan.workers if way in (Way.THREADS, Way.PROCESSES) else 1):
                figures[f"{way.value}_{episodes}"] = _measured(replace(plan, episodes=episodes, way=way))
    return figures | {"kib_per_episode": _kib_per_episode(replace(plan, episodes=counts[-1]))}


def _original(plan: Plan) -> dict[str, float]:
    """Return the figures of the original: measured if it can run here, else as recorded; empty if there are none."""
    commands = commands_module(plan.environment)
    if recorded := getattr(commands, "ORIGINAL_STEPS_PER_SECOND", None):
        return {"recorded": True, "steps_per_second": recorded}
    if settings := getattr(commands, "ORIGINAL_SETTINGS", None):
        plan = replace(plan, settings={**plan.settings, **settings})
        return {**_measured(plan), "kib_per_episode": _kib_per_episode(replace(plan, episodes=_ORIGINALS_IN_MEMORY))}
    return {}


def _measured(plan: Plan) -> dict[str, float]:
    """Measure ``plan`` and return its figures. Those of several processes are added."""
    speeds = measure(plan)
    figures = {
        "steps_per_second": _rate(sum(speed.steps / speed.step_seconds for speed in speeds)),
        "steps_per_core_second": _rate(_total(speeds, "steps") / _total(speeds, "core_seconds")),
        "open_milliseconds": round(1e3 * _total(speeds, "open_seconds") / _total(speeds, "opened"), 3),
    }
    print(plan.environment, dict(plan.settings), plan.way, plan.episodes, figures, file=sys.stderr, flush=True)
    return figures


def _total(speeds: Iterable[Speed], name: str) -> float:
    return float(sum(getattr(speed, name) for speed in speeds))


def _rate(value: float) -> float:
    return round(value) if value >= 100 else round(value, 2)


def _kib_per_episode(plan: Plan) -> float:
    return round(memory_per_episode(plan) / 1024, 1)
