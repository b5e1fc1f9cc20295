"""``leap check contract``: whether an environment, such as one of your own, keeps the contract."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from leap_exp.config.registry import settings_classes
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.envs.contract import contract_violations

_ORACLE_STEPS = 300


def contract(
    name: Annotated[str, typer.Argument(help="Name of the environment, as in env=NAME.")],
    settings: Annotated[list[str] | None, typer.Argument(help="Its settings, such as size=8.")] = None,
    split: Annotated[str, typer.Option(help="Split whose tasks are played.")] = "train",
    tasks: Annotated[int, typer.Option(help="How many of them, spread over the split.", min=1)] = 3,
) -> None:
    """Play an environment at random and with its oracle, and list what breaks the contract."""
    environment = _environment(name, settings or ())
    environment.prepare()
    violations = contract_violations(environment, split, tasks=tasks, oracle_steps=_ORACLE_STEPS)
    print("\n".join(violations) or f"{name} keeps the contract in {tasks} tasks of {split}.")
    raise typer.Exit(1 if violations else 0)


def _environment(name: str, settings: Sequence[str]) -> Environment:
    classes = settings_classes("env")
    if name not in classes:
        raise ConfigError(f"There is no environment {name!r}; choose one of: {', '.join(classes)}.")
    if wrong := [each for each in settings if "=" not in each]:
        raise ConfigError(f"{wrong[0]!r} is not a setting: write SETTING=VALUE.")
    given = OmegaConf.from_dotlist([each.removeprefix("env.") for each in settings])
    try:
        config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(classes[name]), given))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{name} cannot be made with {', '.join(settings)}: {str(error).splitlines()[0]}.") from error
    environment: Environment = config.build()
    return environment
