"""The levels of privilege in a sweep, and the arms that have no place among them: its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.analysis.run import Run
from leap_exp.analysis.sweep import Group, Sweep
from leap_exp.core.privilege import Disclosure

_GROUP = "privilege."
"""How the settings begin that say what level an arm has."""
_CONTROLS = ("privilege.control", "privilege.beta")
"""Settings that make a control of a level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Arms that differ in the level alone; ``name`` is what they have in common, empty if there is one curve."""

    name: str
    arms: Mapping[int, Group]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The arms of a sweep over privilege.

    Attributes:
        levels: The levels in the paper's numbers, 0 (none) to 100, ascending.
        curves: The arms that have a level.
        controls: The others, in the order of the sweep.
    """

    levels: Sequence[int]
    curves: Sequence[Curve]
    controls: Sequence[Group]

    @property
    def arms(self) -> list[Group]:
        """All arms: curve by curve with ascending levels, then the controls."""
        return [*(group for curve in self.curves for group in curve.arms.values()), *self.controls]


def read_ladder(sweep: Sweep) -> Ladder | None:
    """Return the levels and controls of ``sweep``; None if privilege is not what it is about, or no arm has a level."""
    if not any(key.startswith(_GROUP) for key in sweep.keys):
        return None
    curves: dict[str, dict[int, Group]] = {}
    controls = []
    for group in sweep.groups:
        level = privilege_level(group.runs[0])
        name = ", ".join(str(value) for key, value in group.settings.items() if not key.startswith(_GROUP))
        if level is None or level in curves.get(name, {}):
            controls.append(group)
        else:
            curves.setdefault(name, {})[level] = group
    if not curves:
        return None
    levels = sorted({level for arms in curves.values() for level in arms})
    return Ladder(
        levels=levels,
        curves=[Curve(name=name, arms=dict(sorted(arms.items()))) for name, arms in curves.items()],
        controls=controls,
    )


def privilege_level(run: Run) -> int | None:
    """Return the level of a run, 0 to 100; None for one that learns without its teacher, or under another rule.

    A member of the group ``privilege`` that is no level by its name is a control, whatever disclosure it is based on.
    """
    disclosure = run.config.get("privilege.disclosure")
    name = run.config.get("privilege.name", disclosure)
    is_control = any(run.config.get(key) is not None for key in _CONTROLS)
    if is_control or name not in tuple(Disclosure) or run.config.get("learn_from") == "demonstrations":
        return None
    return Disclosure(disclosure or name).percent
