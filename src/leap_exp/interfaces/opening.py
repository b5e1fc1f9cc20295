"""Open environments from keyword arguments, as programs give them that use an environment without the trainer."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import get_type_hints
from weakref import WeakValueDictionary

from leap_exp.core.components import EnvironmentConfig, load
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError

_OF_THE_LOOP = frozenset(item.name for item in fields(EnvironmentConfig))
"""Settings that only the training loop reads."""

_open: WeakValueDictionary[tuple[type, str], Environment] = WeakValueDictionary()


def read_settings(config: str, settings: Mapping[str, object]) -> EnvironmentConfig:
    """Return the settings of an environment.

    Args:
        config: ``module:name`` of the environment's settings class.
        settings: Values by field name. A path is taken as its text.

    Raises:
        ConfigError: There is no such setting, or a value is not valid.
    """
    kind: type[EnvironmentConfig] = load(config)
    hints = get_type_hints(kind)
    known = sorted({item.name for item in fields(kind)} - _OF_THE_LOOP)
    values = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    for name, value in values.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}? All settings" if near else "choose from"
            raise ConfigError(f"{kind.__name__} has no setting {name!r}: {advice}: {', '.join(known)}.")
        if not _fits(value, hints[name]):
            raise ConfigError(f"{name}={value!r} is not valid: its type must be {_described(hints[name])}.")
    # Each value has been compared with its field's type.
    return kind(**values)  # type: ignore[arg-type]


def open_environment(config: EnvironmentConfig) -> Environment:
    """Return the environment with these settings.

    Equal settings give the same environment for as long as anyone uses it, so that many episodes share its games,
    catalogue or queries.
    """
    key = type(config), repr(config)
    environment = _open.get(key)
    if environment is None:
        environment = _open[key] = config.build()
    return environment


def _fits(value: object, hint: object) -> bool:
    if hint == list[str]:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    # The type is exact, because True is an int.
    return type(value) is hint if isinstance(hint, type) else True


def _described(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) and hint is not list[str] else str(hint)
