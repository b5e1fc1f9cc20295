"""Placement of objects in a room."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from leap_exp.envs.alfworld.builtin.catalogue import LAMP, OBJECT_KINDS, ROOM_KINDS
from leap_exp.envs.alfworld.builtin.naming import entity_id, shown_names
from leap_exp.envs.alfworld.builtin.rooms import Receptacle, Room, draw_size
from leap_exp.envs.alfworld.builtin.tasks import HouseholdTask

_MOST_OF_A_KIND = 3
_EXTRA_TARGETS = {0: 5, 1: 3, 2: 2}
"""Weight of each number of target objects beyond those that the task needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedObject:
    """An object, the name that players see, and its receptacle."""

    kind: str
    id: str
    name: str
    receptacle: Receptacle


def place_objects(task: HouseholdTask, room: Room, bounds: tuple[int, int, int], rng: Random) -> list[PlacedObject]:
    """Place target objects (not at the goal), a lamp if the task needs one, and other objects in ``room``.

    ``bounds`` are the smallest, the most frequent and the largest number of objects. A room with few kinds of objects
    may get fewer.
    """
    placed: dict[str, tuple[str, Receptacle]] = {}
    for kind in _draw_kinds(task, room, bounds, rng):
        receptacle = _draw_place(kind, room, task.goal if kind == task.target else "", rng)
        identifier = _draw_id(kind, receptacle, rng)
        while identifier in placed:
            identifier = _draw_id(kind, receptacle, rng)
        placed[identifier] = (kind, receptacle)
    names = shown_names(placed)
    return [
        PlacedObject(kind=kind, id=identifier, name=names[identifier], receptacle=receptacle)
        for identifier, (kind, receptacle) in placed.items()
    ]


def _draw_kinds(task: HouseholdTask, room: Room, bounds: tuple[int, int, int], rng: Random) -> Iterator[str]:
    """Yield the kind of each object: first those that the task needs, then any that fit into the room."""
    (extra,) = rng.choices(list(_EXTRA_TARGETS), weights=list(_EXTRA_TARGETS.values()))
    needed = [task.target] * (task.type.targets + extra) + [LAMP] * task.type.needs_lamp
    yield from needed
    counts = Counter(needed)
    others = [kind for kind in ROOM_KINDS[room.kind].objects if kind != task.target and _homes(kind, room, "")]
    for _ in range(draw_size(rng, bounds) - len(needed)):
        others = [kind for kind in others if counts[kind] < (_MOST_OF_A_KIND if OBJECT_KINDS[kind].is_movable else 1)]
        if not others:
            return
        kind = rng.choice(others)
        counts[kind] += 1
        yield kind


def _homes(kind: str, room: Room, excluded: str) -> dict[str, int]:
    """Return the kinds of receptacles in ``room`` where ``kind`` is found, with weights."""
    found = OBJECT_KINDS[kind].found.items()
    return {place: weight for place, weight in found if place != excluded and place in room.receptacles}


def _draw_place(kind: str, room: Room, excluded: str, rng: Random) -> Receptacle:
    homes = _homes(kind, room, excluded)
    (place,) = rng.choices(list(homes), weights=list(homes.values()))
    return rng.choice(room.receptacles[place])


def _draw_id(kind: str, receptacle: Receptacle, rng: Random) -> str:
    x, y, z = receptacle.position
    return entity_id(kind, (x + rng.uniform(-0.4, 0.4), y + rng.uniform(0.0, 0.2), z + rng.uniform(-0.4, 0.4)))
