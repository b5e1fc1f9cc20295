"""The kinds of objects, receptacles and rooms in a household, read from ``objects.toml`` and ``rooms.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

OPENABLE = frozenset({"Cabinet", "Drawer", "Fridge", "Microwave", "Safe"})
"""Kinds of receptacles that start closed and hide what they hold."""

BASINS = {"SinkBasin": "Sink", "BathtubBasin": "Bathtub"}
"""Kinds of receptacles that are part of another thing, by whose name they are identified."""

LAMP = "DeskLamp"
"""The kind of object that a look_at_obj_in_light task has the agent switch on."""

HOUSEHOLDS = ("small", "full")
"""Household sizes: a handful of receptacles, or as many as the official rooms have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """What holds for all objects of a kind.

    ``traits`` are the domain's predicates that say what can be done with one, ``found`` the kinds of receptacles where
    one is usually found, with weights, and ``fits`` all kinds of receptacles that can hold one.
    """

    traits: tuple[str, ...]
    found: Mapping[str, int]
    fits: tuple[str, ...]

    @property
    def is_movable(self) -> bool:
        """Whether an agent can pick it up."""
        return "pickupable" in self.traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Furnishing:
    """How rooms of a kind are furnished in households of a size.

    ``receptacles`` and ``objects`` are the least, the most frequent and the largest number of them; ``required`` says
    how many of a kind of receptacle every room has; ``optional``, for the other receptacles, the weight of each kind
    and the most of it in a room; ``shared`` the probability that a receptacle is reached from the same spot as the
    last one of its kind.
    """

    receptacles: tuple[int, int, int]
    objects: tuple[int, int, int]
    shared: float
    required: Mapping[str, int]
    optional: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomKind:
    """The kinds of objects found in rooms of a kind, and how these are furnished in each household size."""

    objects: tuple[str, ...]
    furnishing: Mapping[str, Furnishing]


@cache
def read_resource(name: str) -> str:
    """The text of file ``name`` of this package."""
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
