"""The kinds of objects, receptacles and rooms, read from ``objects.toml`` and ``rooms.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

OPENABLE = frozenset({"Cabinet", "Drawer", "Fridge", "Microwave", "Safe"})
"""Kinds of receptacles that are closed at the start."""

BASINS = {"SinkBasin": "Sink", "BathtubBasin": "Bathtub"}
"""Kinds of receptacles that are part of another thing, whose name is in their id."""

LAMP = "DeskLamp"
"""The kind of lamp in look_at_obj_in_light tasks."""

HOUSEHOLDS = ("small", "full")
"""Household sizes: few receptacles, or as many as in official rooms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """A kind of object.

    Attributes:
        traits: Predicates of the domain that describe what can be done with it.
        found: The kinds of receptacles where it is found, with weights.
        fits: All kinds of receptacles that can hold it.
    """

    traits: tuple[str, ...]
    found: Mapping[str, int]
    fits: tuple[str, ...]

    @property
    def is_movable(self) -> bool:
        """Whether it can be picked up."""
        return "pickupable" in self.traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Furnishing:
    """How rooms of a kind are furnished in households of a size.

    Attributes:
        receptacles: Smallest, most frequent and largest number of receptacles.
        objects: The same for objects.
        shared: Probability that a receptacle has the same location as the previous one of its kind.
        required: Number of receptacles of a kind that every room has.
        optional: For the other kinds, the weight and the largest number in a room.
    """

    receptacles: tuple[int, int, int]
    objects: tuple[int, int, int]
    shared: float
    required: Mapping[str, int]
    optional: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomKind:
    """A kind of room: the kinds of objects in it, and its furnishing in each household size."""

    objects: tuple[str, ...]
    furnishing: Mapping[str, Furnishing]


@cache
def read_resource(name: str) -> str:
    """Return the text of the file ``name`` in this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _read_object_kinds() -> dict[str, ObjectKind]:
    return {
        name: ObjectKind(
            traits=tuple(row["traits"]), found=row["found"], fits=tuple(sorted({*row["found"], *row["fits"]}))
        )
        for name, row in tomllib.loads(read_resource("objects.toml")).items()
    }


def _read_room_kinds() -> dict[str, RoomKind]:
    return {
        name: RoomKind(objects=tuple(row["objects"]), furnishing={size: Furnishing(**row[size]) for size in HOUSEHOLDS})
        for name, row in tomllib.loads(read_resource("rooms.toml")).items()
    }


OBJECT_KINDS: Mapping[str, ObjectKind] = _read_object_kinds()
ROOM_KINDS: Mapping[str, RoomKind] = _read_room_kinds()
