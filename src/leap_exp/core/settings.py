"""Settings: dataclasses in which each field has a default, a line of documentation and a check of its value.

A settings class is defined beside what it configures and is passed to it as it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from leap_exp.core.errors import ConfigError

T = TypeVar("T")

MISSING = "???"
"""The default of a setting that a user must give."""

_DOC, _CHECK = "doc", "check"


@dataclass(frozen=True, slots=True)
class _Check:
    choices: Sequence[str] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def complaint(self, value: Any) -> str | None:  # noqa: ANN401 - a setting can have any type
        """What is wrong with ``value``, or None; a value that is None or missing is not checked."""
        if value is None or value == MISSING:
            return None
        if self.choices and value not in self.choices:
            return f"choose one of: {', '.join(self.choices)}"
        if self.above is not None and not value > self.above:
            return f"it must be greater than {self.above:g}"
        if self.minimum is not None and self.maximum is not None and not self.minimum <= value <= self.maximum:
            return f"it must lie in [{self.minimum:g}, {self.maximum:g}]"
        if self.minimum is not None and not value >= self.minimum:
            return f"it must be at least {self.minimum:g}"
        return None


def setting(
    default: T,
    doc: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
) -> T:
    """Declare a setting: its default, the line that ``--help`` shows, and what values it takes."""
    check = _Check(choices=choices, minimum=minimum, maximum=maximum, above=above)
    return field(default=default, metadata={_DOC: doc, _CHECK: check})


def settings(factory: Callable[[], T], doc: str) -> T:
    """Declare a setting that is itself a settings class, a list or a mapping."""
    return field(default_factory=factory, metadata={_DOC: doc, _CHECK: _Check()})


def documentation(kind: type) -> list[tuple[Field[Any], str]]:
    """Return the fields of the settings class ``kind`` with their lines of documentation."""
    return [(item, item.metadata[_DOC]) for item in fields(kind)]


@dataclass
class Settings:
    """Base of all settings: checks every field when it is made.

    Subclasses set ``place``, the path of the settings in the configuration (``student.lora``), and override
    ``check_together`` for rules about several fields.
    """

    place: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check all fields; raises ConfigError with the name of the first one that is wrong."""
        for item in fields(self):
            value = getattr(self, item.name)
            complaint = item.metadata[_CHECK].complaint(value)
            if complaint:
                raise ConfigError(f"{self.setting_name(item.name)}={value} is not valid: {complaint}.")
        self.check_together()

    def check_together(self) -> None:
        """Check rules about several fields; raises ConfigError."""

    @classmethod
    def setting_name(cls, field_name: str) -> str:
        """Return the full name of a field, as a user writes it on the command line."""
        return f"{cls.place}.{field_name}" if cls.place else field_name
