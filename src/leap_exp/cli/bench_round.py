"""``leap bench round``: how long a round of the loop takes, beside the authors' way.

A round acts in the rollouts and in the evaluation, and trains on the corrected rollouts. Its seconds are those that
``leap bench engine`` and ``leap bench train`` measure per episode and per trajectory, in one run, times how many there
are. What the teacher takes is left out: it is the same in all ways.
"""

import json
from typing import Annotated, Any

import typer

from leap_exp.cli.bench_engine import Work, measure_acting
from leap_exp.cli.bench_options import Device, Dtype, Model, Shape, choose_shape
from leap_exp.cli.bench_train import measure_training
from leap_exp.core.errors import ProviderError
from leap_exp.students.weights import select_device

_TRAINING_SHARE = 0.35
"""Share of the time limit."""


def whole_round(
    device: Device = "auto",
    shape: Shape = None,
    model: Model = None,
    dtype: Dtype = "auto",
    rollouts: Annotated[int, typer.Option(help="Episodes that are played and, corrected, trained on once.")] = 64,
    evaluations: Annotated[int, typer.Option(help="Episodes of the evaluation.")] = 36,
    episodes: Annotated[int, typer.Option(help="Episodes at a time.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of an episode, unless the time limit is reached.")] = 20,
    seconds: Annotated[float, typer.Option(help="Time limit, met up to one step of each way.")] = 1200.0,
) -> None:
    """Measure a round of acting and training, beside one episode at a time and one training row per step."""
    device = select_device(device)
    shape = choose_shape(shape, device)
    *_, training = measure_training(device, shape, model, dtype, seconds=_TRAINING_SHARE * seconds)
    if "skipped" in training["authors"]:
        raise ProviderError(f"The authors' way of training could not be measured: {training['authors']['skipped']}")
    work = Work(episodes=episodes, steps=steps)
    acting = measure_acting(work, device, shape, model, dtype, seconds=(1 - _TRAINING_SHARE) * seconds)
    result: dict[str, Any] = {"benchmark": "round", "rollouts": rollouts, "evaluations": evaluations}
    for mode in ("", "_choosing"):
        ways = {
            name: _seconds(
                acting[engine][f"episodes_per_minute{mode}"],
                training[trainer]["seconds_per_trajectory"],
                rollouts,
                evaluations,
            )
            for name, engine, trainer in (("ours", "engine", "ours"), ("authors", "one_at_a_time", "authors"))
        }
        result[f"seconds{mode}"] = ways
        result[f"ratio{mode}"] = round(ways["authors"]["round"] / ways["ours"]["round"], 2)
    print(json.dumps({**result, "acting": acting, "training": training}))


def _seconds(
    episodes_per_minute: float, seconds_per_trajectory: float, rollouts: int, evaluations: int
) -> dict[str, float]:
    parts = {
        "rollouts": 60 * rollouts / episodes_per_minute,
        "training": rollouts * seconds_per_trajectory,
        "evaluation": 60 * evaluations / episodes_per_minute,
    }
    return {name: round(value, 1) for name, value in {**parts, "round": sum(parts.values())}.items()}
