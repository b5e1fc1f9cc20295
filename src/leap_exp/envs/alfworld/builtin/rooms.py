"""Rooms with their receptacles, determined by seed, household, kind and number."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.alfworld.builtin.catalogue import BASINS, ROOM_KINDS
from leap_exp.envs.alfworld.builtin.naming import entity_id, location_id, shown_names

TRAIN_ROOMS = range(30)
"""Room numbers of the splits train and valid_seen, for each kind of room."""

UNSEEN_ROOMS = range(30, 60)
"""Room numbers of the split valid_unseen, for each kind of room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receptacle:
    """A receptacle: its id, the name that players see, the location it is used from, and its position (metres)."""

    kind: str
    id: str
    name: str
    location: str
    position: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room without objects; the agent starts at the location ``start``."""

    kind: str
    number: int
    start: str
    receptacles: Mapping[str, tuple[Receptacle, ...]]


def draw_size(rng: Random, bounds: tuple[int, int, int]) -> int:
    """Draw an integer between the first and the last of ``bounds``, most often near the middle one."""
    least, most_frequent, largest = bounds
    return round(rng.triangular(least, largest, most_frequent))


@lru_cache(maxsize=1024)
def make_room(seed: int, household: str, kind: str, number: int) -> Room:
    """Return room ``number`` of ``kind``; the same arguments always give the same room."""
    furnishing = ROOM_KINDS[kind].furnishing[household]
    rng = Random(derive_seed(seed, "alfworld", "room", household, kind, number))
    inventory = _inventories(seed, household, kind)[number]
    spots = rng.sample([(x, z) for x in range(-8, 9) for z in range(-8, 9)], k=len(inventory) + 1)
    start = location_id(*spots.pop(), rng.randrange(4), 30)
    drawn: dict[str, list[tuple[str, str, tuple[float, float, float]]]] = {}
    for receptacle_kind in inventory:
        alike = drawn.setdefault(receptacle_kind, [])
        x, z = spots.pop()
        location = location_id(x, z, rng.randrange(4), rng.choice((-15, 0, 30, 60)))
        if alike and rng.random() < furnishing.shared:
            location = alike[-1][1]
        position = (x / 4 + rng.uniform(-0.1, 0.1), rng.uniform(0.0, 2.0), z / 4 + rng.uniform(-0.1, 0.1))
        owner = BASINS.get(receptacle_kind, "")
        identifier = entity_id(owner or receptacle_kind, position, part=receptacle_kind if owner else "")
        alike.append((identifier, location, position))
    names = shown_names([identifier for alike in drawn.values() for identifier, _, _ in alike])
    receptacles = {
        receptacle_kind: tuple(
            Receptacle(kind=receptacle_kind, id=identifier, name=names[identifier], location=location, position=where)
            for identifier, location, where in alike
        )
        for receptacle_kind, alike in drawn.items()
    }
    return Room(kind=kind, number=number, start=start, receptacles=receptacles)


@lru_cache(maxsize=64)
def _inventories(seed: int, household: str, kind: str) -> tuple[tuple[str, ...], ...]:
    """Return the kinds of receptacles in each room. No two rooms have the same, so unseen rooms look different."""
    furnishing = ROOM_KINDS[kind].furnishing[household]
    rng = Random(derive_seed(seed, "alfworld", "inventories", household, kind))
    inventories: dict[tuple[str, ...], None] = {}
    while len(inventories) < UNSEEN_ROOMS.stop:
        size = draw_size(rng, furnishing.receptacles)
        counts = dict(furnishing.required)
        while sum(counts.values()) < size:
            open_kinds = {k: weight for k, (weight, most) in furnishing.optional.items() if counts.get(k, 0) < most}
            (added,) = rng.choices(list(open_kinds), weights=list(open_kinds.values()))
            counts[added] = counts.get(added, 0) + 1
        inventories[tuple(kind for kind in sorted(counts) for _ in range(counts[kind]))] = None
    return tuple(inventories)
