"""Rooms: which receptacles stand where, fixed by seed, household, room kind and room number."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.alfworld.builtin.catalogue import BASINS
from leap_exp.envs.alfworld.builtin.naming import entity_id, location_id, shown_names

TRAIN_ROOMS = range(0, 30)
"""Room numbers of the splits train and valid_seen, for each room kind."""

UNSEEN_ROOMS = range(30, 60)
"""Room numbers of the split valid_unseen, for each room kind: rooms that training never shows."""

ROOM_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "kitchen": (
        *("Apple", "Bowl", "Bread", "ButterKnife", "Cup", "DishSponge", "Egg", "Fork", "Glassbottle", "HousePlant"),
        *("Kettle", "Knife", "Ladle", "Lettuce", "Mug", "Pan", "PepperShaker", "Plate", "Pot", "Potato", "SaltShaker"),
        *("SoapBottle", "Spatula", "Spoon", "Tomato", "WineBottle"),
    ),
    "bathroom": (
        *("Candle", "Cloth", "DishSponge", "HandTowel", "SoapBar", "SoapBottle", "SprayBottle", "TissueBox"),
        *("ToiletPaper", "Towel"),
    ),
    "bedroom": (
        *("AlarmClock", "BasketBall", "Book", "Bowl", "CD", "CellPhone", "CreditCard", "DeskLamp", "HousePlant"),
        *("KeyChain", "Laptop", "Mug", "Pen", "Pencil", "Pillow", "RemoteControl", "Statue", "TissueBox", "Watch"),
    ),
    "livingroom": (
        *("Book", "Bowl", "Box", "Candle", "CellPhone", "CreditCard", "DeskLamp", "HousePlant", "KeyChain", "Laptop"),
        *("Newspaper", "Pen", "Pencil", "Pillow", "Plate", "RemoteControl", "Statue", "Television", "TissueBox"),
        *("Vase", "Watch", "WateringCan"),
    ),
}
"""The kinds of objects found in each room kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How rooms of a kind are furnished.

    ``receptacles`` and ``objects`` are least, most frequent and largest number of them; ``required`` says how many of
    a kind of receptacle every room has; ``optional`` the weight of each kind for the others, and the most of it that
    a room has; ``shared`` the probability that a receptacle is reached from the same spot as the last of its kind.
    """

    receptacles: tuple[int, int, int]
    objects: tuple[int, int, int]
    required: Mapping[str, int]
    optional: Mapping[str, tuple[int, int]]
    shared: float


_SMALL_SIZE = (7, 9, 11)
_SMALL_OBJECTS = (10, 12, 14)

PLANS: Mapping[str, Mapping[str, Plan]] = {
    "small": {
        "kitchen": Plan(
            receptacles=_SMALL_SIZE,
            objects=_SMALL_OBJECTS,
            required={"Fridge": 1, "Microwave": 1, "SinkBasin": 1, "CounterTop": 1, "Cabinet": 1},
            optional={
                **{"Cabinet": (3, 3), "Drawer": (3, 2), "CoffeeMachine": (3, 1), "StoveBurner": (2, 2)},
                **{"DiningTable": (2, 1), "GarbageCan": (2, 1), "Shelf": (1, 2), "SideTable": (1, 1)},
            },
            shared=0.0,
        ),
        "bathroom": Plan(
            receptacles=_SMALL_SIZE,
            objects=_SMALL_OBJECTS,
            required={"Toilet": 1, "SinkBasin": 1, "CounterTop": 1, "Cabinet": 1},
            optional={
                **{"Cabinet": (3, 3), "Drawer": (3, 2), "Shelf": (2, 2), "GarbageCan": (2, 1), "BathtubBasin": (2, 1)},
                **{"ToiletPaperHanger": (2, 1), "HandTowelHolder": (2, 1), "TowelHolder": (1, 1), "Cart": (1, 1)},
            },
            shared=0.0,
        ),
        "bedroom": Plan(
            receptacles=_SMALL_SIZE,
            objects=_SMALL_OBJECTS,
            required={"Bed": 1, "Desk": 1, "Drawer": 1},
            optional={
                **{"Drawer": (3, 3), "Shelf": (3, 3), "SideTable": (3, 2), "Dresser": (2, 1), "GarbageCan": (2, 1)},
                **{"ArmChair": (1, 1), "Safe": (1, 1), "Cabinet": (1, 1)},
            },
            shared=0.0,
        ),
        "livingroom": Plan(
            receptacles=_SMALL_SIZE,
            objects=_SMALL_OBJECTS,
            required={"Sofa": 1, "CoffeeTable": 1, "SideTable": 1},
            optional={
                **{"Drawer": (3, 3), "ArmChair": (3, 2), "Shelf": (2, 2), "TVStand": (2, 1), "DiningTable": (2, 1)},
                **{"SideTable": (1, 2), "Dresser": (1, 1), "Cabinet": (1, 2), "GarbageCan": (1, 1), "Ottoman": (1, 1)},
            },
            shared=0.0,
        ),
    },
    "full": {
        "kitchen": Plan(
            receptacles=(20, 22, 54),
            objects=(31, 44, 62),
            required={
                **{"Fridge": 1, "Microwave": 1, "SinkBasin": 1, "CoffeeMachine": 1, "Toaster": 1, "GarbageCan": 1},
                **{"CounterTop": 1, "StoveBurner": 4, "Cabinet": 2, "Drawer": 1},
            },
            optional={
                **{"Cabinet": (26, 27), "Drawer": (14, 27), "CounterTop": (3, 4), "DiningTable": (2, 3)},
                **{"Shelf": (2, 3), "StoveBurner": (1, 6), "SideTable": (1, 1), "Safe": (1, 1)},
            },
            shared=0.12,
        ),
        "bathroom": Plan(
            receptacles=(10, 12, 21),
            objects=(12, 17, 26),
            required={
                **{"Toilet": 1, "SinkBasin": 1, "CounterTop": 1, "GarbageCan": 1, "TowelHolder": 1},
                **{"HandTowelHolder": 1, "ToiletPaperHanger": 1},
            },
            optional={
                **{"Cabinet": (8, 9), "Drawer": (6, 8), "Shelf": (2, 4), "BathtubBasin": (3, 1), "SinkBasin": (2, 2)},
                **{"HandTowelHolder": (2, 4), "TowelHolder": (1, 2), "Cart": (1, 1), "SideTable": (1, 1)},
            },
            shared=0.12,
        ),
        "bedroom": Plan(
            receptacles=(7, 10, 27),
            objects=(14, 23, 36),
            required={"Bed": 1, "Desk": 1, "Drawer": 2, "GarbageCan": 1},
            optional={
                **{"Drawer": (8, 17), "Shelf": (7, 14), "SideTable": (2, 2), "Dresser": (2, 2), "Cabinet": (2, 4)},
                **{"ArmChair": (1, 3), "LaundryHamper": (1, 1), "Safe": (1, 1), "DiningTable": (1, 1), "Bed": (1, 2)},
            },
            shared=0.06,
        ),
        "livingroom": Plan(
            receptacles=(6, 6, 35),
            objects=(12, 18, 35),
            required={"Sofa": 1, "ArmChair": 1, "CoffeeTable": 1, "SideTable": 1, "GarbageCan": 1},
            optional={
                **{"Drawer": (8, 21), "Shelf": (5, 14), "Cabinet": (3, 8), "SideTable": (2, 5), "DiningTable": (2, 2)},
                **{"TVStand": (2, 2), "Dresser": (1, 2), "ArmChair": (1, 3), "Ottoman": (1, 1), "Safe": (1, 1)},
            },
            shared=0.06,
        ),
    },
}
"""The plan of each room kind, for each household size; ``full`` follows the official games' counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receptacle:
    """A receptacle of a room: its id, the name shown, the location to use it from, and where it stands (metres)."""

    kind: str
    id: str
    name: str
    location: str
    position: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A furnished room without objects; ``start`` is the location where an agent begins."""

    kind: str
    number: int
    start: str
    receptacles: Mapping[str, tuple[Receptacle, ...]]


def draw_size(rng: Random, bounds: tuple[int, int, int]) -> int:
    """A whole number between the first and the last of ``bounds``, most often near the middle one."""
    least, most_frequent, largest = bounds
    return round(rng.triangular(least, largest, most_frequent))


@lru_cache(maxsize=1024)
def make_room(seed: int, household: str, kind: str, number: int) -> Room:
    """Room ``number`` of ``kind``: always the same for the same arguments."""
    plan = PLANS[household][kind]
    rng = Random(derive_seed(seed, "alfworld", "room", household, kind, number))
    inventory = _inventories(seed, household, kind)[number]
    spots = rng.sample([(x, z) for x in range(-8, 9) for z in range(-8, 9)], k=len(inventory) + 1)
    start = location_id(*spots.pop(), rng.randrange(4), 30)
    drawn: dict[str, list[tuple[str, str, tuple[float, float, float]]]] = {}
    for receptacle_kind in inventory:
        alike = drawn.setdefault(receptacle_kind, [])
        x, z = spots.pop()
        location = location_id(x, z, rng.randrange(4), rng.choice((-15, 0, 30, 60)))
        if alike and rng.random() < plan.shared:
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
    """The kinds of receptacles in each room, no two rooms alike: an unseen room is then visibly another one."""
    plan = PLANS[household][kind]
    rng = Random(derive_seed(seed, "alfworld", "inventories", household, kind))
    inventories: dict[tuple[str, ...], None] = {}
    while len(inventories) < UNSEEN_ROOMS.stop:
        size = draw_size(rng, plan.receptacles)
        counts = dict(plan.required)
        while sum(counts.values()) < size:
            open_kinds = {k: weight for k, (weight, most) in plan.optional.items() if counts.get(k, 0) < most}
            (added,) = rng.choices(list(open_kinds), weights=list(open_kinds.values()))
            counts[added] = counts.get(added, 0) + 1
        inventories[tuple(kind for kind in sorted(counts) for _ in range(counts[kind]))] = None
    return tuple(inventories)
