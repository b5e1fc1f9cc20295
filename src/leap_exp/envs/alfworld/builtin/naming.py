"""Ids of receptacles, objects and locations, and the names that players see."""

from collections import Counter
from collections.abc import Iterable, Mapping


def entity_id(kind: str, position: tuple[float, float, float], *, part: str = "") -> str:
    """Return ``Kind|+x.xx|+y.yy|+z.zz``, with ``|Part`` if given, in characters that PDDL allows; metres."""
    return "_bar_".join([kind, *(_coordinate(value) for value in position), *([part] if part else [])])


def location_id(x: int, z: int, rotation: int, horizon: int) -> str:
    """Return the id of a grid cell with a rotation (quarter turns) and a camera angle (degrees)."""
    return "_bar_".join(["loc", *(_mangled(str(value)) for value in (x, z, rotation, horizon))])


def shown_names(ids: Iterable[str]) -> Mapping[str, str]:
    """Return the name of each id as in ALFWorld: its kind and a number, which falls as ids rise."""
    kinds = {identifier: _shown_kind(identifier.lower()) for identifier in ids}
    left = Counter(kinds.values())
    names = {}
    for identifier in sorted(kinds, key=str.lower):
        kind = kinds[identifier]
        names[identifier] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return names


def _shown_kind(identifier: str) -> str:
    return identifier.split("_bar_", 1)[0] + ("basin" if "basin" in identifier else "")


def _coordinate(value: float) -> str:
    # Adding 0.0 turns a rounded -0.0 into 0.0, which would otherwise give one place two ids.
    return _mangled(f"{round(value, 2) + 0.0:+06.2f}")


def _mangled(number: str) -> str:
    return number.replace("-", "_minus_").replace("+", "_plus_").replace(".", "_dot_")
