"""The command ``leap bench scale``."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from leap_exp.cli.scale.measure import Plan, in_process, run
from leap_exp.cli.scale.stand_ins import Pace
from leap_exp.cli.scale.training import training
from leap_exp.core.errors import ConfigError

SIZES = (500, 1_000, 3_553)
"""Tasks of a round; the last is all of ALFWorld's."""
_QUICK = Pace(seconds=0.3, slots=32, failing_share=0.01)


def scale(
    part: Annotated[
        list[str] | None, typer.Option(help="acting, memory, simulation or training; repeat. Default: all.")
    ] = None,
    tasks: Annotated[int, typer.Option(help="Tasks per round of the simulation.")] = SIZES[-1],
    replicas: Annotated[int, typer.Option(help="Replicas of the simulation.")] = 16,
    seconds: Annotated[float, typer.Option(help="Mean seconds of an answer in the simulation.")] = 1.6,
    shape: Annotated[str, typer.Option(help="Model that is trained, with random weights: tiny, 135m or 8b.")] = "135m",
) -> None:
    """Measure acting through 1 and 2 replicas, memory, a simulated run at full size, and training in 2 processes."""
    parts: dict[str, Callable[[], Mapping[str, float]]] = {
        "acting": _acting,
        "memory": _memory,
        "simulation": lambda: _simulation(tasks, replicas, seconds),
        "training": lambda: training(shape),
    }
    for name in part or ():
        if name not in parts:
            raise ConfigError(f"--part {name} is not valid: choose from {', '.join(parts)}.")
    figures: dict[str, float] = {}
    for name in part or parts:
        found = {f"{name}/{key}": value for key, value in parts[name]().items()}
        print(name, found, file=sys.stderr, flush=True)
        figures |= found
    print(json.dumps({"benchmark": "scale", **figures}))


def _acting() -> dict[str, float]:
    """Compare two replicas with one."""
    pace = Pace(seconds=0.4, slots=16, failing_share=0.01)
    one, two = (
        in_process(run, Plan(tasks=100 * count, episodes=4_096, replicas=count, concurrency=64, pace=pace))
        for count in (1, 2)
    )
    return {
        "one_steps_per_second": one["steps_per_second"],
        "two_steps_per_second": two["steps_per_second"],
        "two_to_one_ratio": round(two["steps_per_second"] / one["steps_per_second"], 3),
    }


def _memory() -> dict[str, float]:
    """Measure the peak memory of rounds of several sizes with the same number of episodes at a time."""
    peaks: dict[str, float] = {}
    for size in SIZES:
        found = in_process(run, Plan(tasks=size, episodes=256, replicas=4, concurrency=64, pace=_QUICK))
        peaks |= {f"{size}_peak_mib": found["peak_mib"], f"{size}_trajectories_mib": found["trajectories_mib"]}
    return peaks


def _simulation(tasks: int, replicas: int, seconds: float) -> Mapping[str, float]:
    """Measure a round at full size, in which a replica dies and comes back."""
    pace = Pace(seconds=seconds, slots=32, failing_share=0.02)
    plan = Plan(tasks=tasks, episodes=4_096, replicas=replicas, concurrency=96, pace=pace, one_dies=True)
    return in_process(run, plan)
