"""What the schemas of all groups are made of: settings with a line of documentation, and checks of their values."""

from collections.abc import Callable, Sequence
from dataclasses import Field, field, fields
from typing import Any, TypeVar

from leap_exp.core.errors import ConfigError

T = TypeVar("T")
DOC = "doc"


def setting(default: T, doc: str) -> T:
    """A field with a default and its line of documentation, which ``--help`` shows."""
    return field(default=default, metadata={DOC: doc})


def settings(factory: Callable[[], T], doc: str) -> T:
    """A field that is itself a schema, a list or a mapping, with its line of documentation."""
    return field(default_factory=factory, metadata={DOC: doc})


def documentation(schema: type) -> list[tuple[Field[Any], str]]:
    """The fields of ``schema`` with their documentation."""
    return [(item, item.metadata[DOC]) for item in fields(schema)]


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a ``value`` of the setting ``name`` that is none of ``choices``."""
    if value not in choices:
        raise ConfigError(f"{name}={value} is not valid; choose one of: {', '.join(choices)}.")


def require_at_least(name: str, value: float, least: float) -> None:
    """Refuse a ``value`` of the setting ``name`` below ``least``."""
    if not value >= least:
        raise ConfigError(f"{name}={value} is not valid; it must be at least {least}.")


def require_share(name: str, value: float) -> None:
    """Refuse a ``value`` of the setting ``name`` outside [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name}={value} is not valid; it must lie in [0, 1].")
