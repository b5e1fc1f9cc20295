"""``leap bench NAME``: measure one thing; the last line is one JSON object."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from leap_exp.analysis.leakage import leaking_share
from leap_exp.cli.bench_imports import imports
from leap_exp.cli.commands import environment_app, invoke
from leap_exp.config.registry import settings_classes
from leap_exp.core.components import load
from leap_exp.core.errors import ConfigError
from leap_exp.core.extras import training_is_installed
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy
from leap_exp.core.types import Correction, Trajectory
from leap_exp.stages.correct import brief
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import OraclePolicy, RandomPolicy
from leap_exp.teachers.oracle import OracleTeacher

_EPISODES_AT_ONCE = 32
_SLOW_TO_IMPORT = {
    "engine": "leap_exp.cli.bench_engine:engine",
    "environments": "leap_exp.cli.bench_environments:environments",
    "memory": "leap_exp.cli.bench_memory:memory",
    "round": "leap_exp.cli.bench_round:whole_round",
    "scale": "leap_exp.cli.scale.command:scale",
    "train": "leap_exp.cli.bench_train:train",
}
"""Benchmarks of models, large runs and all environments, by the functions that run them, imported only when used."""


def main(arguments: Sequence[str]) -> int:
    """Run a benchmark. Returns 0 if it ran."""
    return invoke(lambda: _app(arguments), arguments, name="bench")


def _app(arguments: Sequence[str]) -> typer.Typer:
    text = (
        "Measure the speed of an environment, of acting, of training, of a round or of large runs, memory, or imports; "
        "the last line of the output is one JSON object."
    )
    app = environment_app("bench", arguments, text=text)
    app.command("leakage")(leakage)
    app.command("imports")(imports)
    lists_all = (not arguments or arguments[0].startswith("-")) and training_is_installed()
    for name, function in _SLOW_TO_IMPORT.items():
        if arguments[:1] == [name] or lists_all:
            app.command(name)(load(function))
    return app


def leakage(
    env: Annotated[
        list[str] | None, typer.Option(help="An environment; repeat for several. Default: all but joint ones.")
    ] = None,
    tasks: Annotated[int, typer.Option(help="Training tasks of each environment.")] = 60,
) -> None:
    """Measure how often the oracle's corrections disclose what is hidden, by level of disclosure."""
    single = [name for name, kind in settings_classes("env").items() if isinstance(kind().step_limits.train, int)]
    shares = {name: _leaking_shares(name, tasks) for name in env or single}
    print(json.dumps({"benchmark": "leakage", "tasks": tasks, **shares}))


def _leaking_shares(name: str, count: int) -> dict[str, dict[str, float]]:
    """Return the share of leaking reasons by level, in corrections of a random policy and when the oracle acts."""
    classes = settings_classes("env")
    if name not in classes:
        raise ConfigError(f"There is no environment {name}; choose from: {', '.join(classes)}.")
    settings = classes[name]()
    environment = settings.build()
    tasks = environment.tasks(settings.train_split)[:count]

    def play(policy: Policy) -> Sequence[Trajectory]:
        return rollout(
            environment,
            policy,
            tasks,
            seed=0,
            max_steps=settings.step_limits.train,
            batch=_EPISODES_AT_ONCE,
            on_progress=lambda *_: None,
        )

    of_random = play(RandomPolicy())
    shares = {}
    for level in Disclosure:
        teacher = OracleTeacher(environment, seed=0)
        found = {}
        for kind, trajectories in (("of_random", of_random), ("acting", play(OraclePolicy(environment, level)))):
            results = teacher.correct(trajectories, [brief(environment, each.task, level) for each in trajectories])
            corrections = [result for result in results if isinstance(result, Correction)]
            found[kind] = round(leaking_share(corrections), 3)
        shares[level.value] = found
        print(name, level.value, found, file=sys.stderr, flush=True)
    return shares
