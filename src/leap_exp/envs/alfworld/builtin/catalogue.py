"""The kinds of objects and receptacles in a household, and where each kind of object is usually found.

Places are the same in every split: a student can learn where to look, and the weights are close to how often the
official games have a kind in a place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

OPENABLE = frozenset({"Cabinet", "Drawer", "Fridge", "Microwave", "Safe"})
"""Kinds of receptacles that start closed and hide what they hold."""

BASINS = {"SinkBasin": "Sink", "BathtubBasin": "Bathtub"}
"""Kinds of receptacles that are part of another thing, by whose name they are identified."""

LAMP = "DeskLamp"
"""The kind of object that a look_at_obj_in_light task has the agent switch on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """What holds for all objects of a kind.

    ``traits`` are the names of the domain's predicates that say what can be done with it; ``places`` are the kinds
    of receptacles that can hold it, with how likely (a weight) it is found there: at 0 it can only be put there.
    """

    traits: tuple[str, ...]
    places: Mapping[str, int]

    @property
    def is_movable(self) -> bool:
        """Whether an agent can pick it up."""
        return "pickupable" in self.traits


def _kind(traits: str, /, **places: int) -> ObjectKind:
    return ObjectKind(traits=tuple(traits.split()), places=places)


_PLAIN = "pickupable"
_CUTLERY = "pickupable cleanable"
_COOKWARE = "pickupable cleanable coolable isReceptacleObject"
_DISH = "pickupable cleanable heatable coolable isReceptacleObject"
_FRUIT = "pickupable cleanable heatable coolable sliceable"

OBJECT_KINDS: Mapping[str, ObjectKind] = {
    # food
    "Apple": _kind(_FRUIT, Fridge=4, CounterTop=3, DiningTable=2, GarbageCan=1, Microwave=1, SinkBasin=1, SideTable=1),
    "Bread": _kind(
        "pickupable heatable coolable sliceable",
        **{"CounterTop": 5, "DiningTable": 3, "Fridge": 1, "SideTable": 1, "Microwave": 0, "GarbageCan": 0},
    ),
    "Egg": _kind(_FRUIT, Fridge=5, CounterTop=2, SinkBasin=1, Microwave=1, GarbageCan=1, DiningTable=1, SideTable=0),
    "Lettuce": _kind(
        "pickupable cleanable coolable sliceable",
        **{"Fridge": 4, "CounterTop": 3, "DiningTable": 2, "SinkBasin": 1, "SideTable": 0, "GarbageCan": 0},
    ),
    "Potato": _kind(_FRUIT, SinkBasin=3, CounterTop=3, Fridge=2, Microwave=1, GarbageCan=1, DiningTable=1, SideTable=0),
    "Tomato": _kind(_FRUIT, CounterTop=4, Fridge=3, DiningTable=2, SinkBasin=2, GarbageCan=0, Microwave=0, SideTable=0),
    # dishes and cookware
    "Bowl": _kind(
        _COOKWARE,
        **{"Cabinet": 4, "Desk": 4, "CounterTop": 2, "DiningTable": 2, "Fridge": 2, "Shelf": 2, "CoffeeTable": 2},
        **{"SinkBasin": 1, "SideTable": 1, "Dresser": 1, "Microwave": 0},
    ),
    "Cup": _kind(
        _DISH, Cabinet=4, CounterTop=2, SinkBasin=2, Fridge=2, DiningTable=1, Microwave=1, Shelf=1, SideTable=1
    ),
    "Kettle": _kind(_CUTLERY, StoveBurner=5, CounterTop=3, Cabinet=2, DiningTable=0, Shelf=0, SideTable=0, SinkBasin=0),
    "Mug": _kind(
        _DISH,
        **{"CoffeeMachine": 4, "Desk": 4, "Cabinet": 3, "CounterTop": 2, "Shelf": 2, "SinkBasin": 1, "Microwave": 1},
        **{"DiningTable": 1, "SideTable": 1, "Dresser": 1, "Fridge": 0},
    ),
    "Pan": _kind(_COOKWARE, StoveBurner=6, CounterTop=3, Cabinet=1, SinkBasin=0, Fridge=0, DiningTable=0, SideTable=0),
    "Plate": _kind(
        _DISH,
        **{"Cabinet": 5, "DiningTable": 3, "CounterTop": 2, "CoffeeTable": 2, "SinkBasin": 1, "Shelf": 1},
        **{"SideTable": 1, "Dresser": 0, "Fridge": 0, "Microwave": 0},
    ),
    "Pot": _kind(
        _COOKWARE,
        **{"StoveBurner": 7, "Cabinet": 2, "CounterTop": 1, "SinkBasin": 0, "Fridge": 0, "DiningTable": 0},
        **{"Shelf": 0, "SideTable": 0},
    ),
    # cutlery and the rest of the kitchen
    "ButterKnife": _kind(_CUTLERY, CounterTop=4, Drawer=3, DiningTable=3, SinkBasin=1, SideTable=0),
    "DishSponge": _kind(
        _CUTLERY,
        **{"SinkBasin": 4, "CounterTop": 3, "BathtubBasin": 2, "Cabinet": 2, "Drawer": 2, "Toilet": 0, "Shelf": 0},
        **{"Cart": 0, "DiningTable": 0, "GarbageCan": 0, "SideTable": 0},
    ),
    "Fork": _kind(_CUTLERY, Drawer=5, CounterTop=3, DiningTable=3, SinkBasin=1, SideTable=0),
    "Glassbottle": _kind(
        _PLAIN, CounterTop=4, Cabinet=3, Shelf=1, GarbageCan=1, DiningTable=1, SinkBasin=0, Fridge=0, Microwave=0
    ),
    "Knife": _kind(_CUTLERY, CounterTop=5, Drawer=3, DiningTable=2, SinkBasin=1, SideTable=0),
    "Ladle": _kind(_CUTLERY, CounterTop=4, Drawer=3, Cabinet=2, DiningTable=1, SinkBasin=0),
    "PepperShaker": _kind(_PLAIN, Cabinet=4, CounterTop=3, Shelf=2, DiningTable=1, Drawer=1, SideTable=1),
    "SaltShaker": _kind(_PLAIN, CounterTop=4, Cabinet=3, Shelf=1, DiningTable=2, Drawer=1, SideTable=1),
    "Spatula": _kind(_CUTLERY, Drawer=4, CounterTop=4, DiningTable=1, SinkBasin=2, SideTable=0),
    "Spoon": _kind(_CUTLERY, Drawer=5, DiningTable=3, CounterTop=2, SinkBasin=2, SideTable=0),
    "WineBottle": _kind(
        "pickupable coolable", Cabinet=4, CounterTop=3, DiningTable=2, Shelf=1, Fridge=1, GarbageCan=1, SideTable=0
    ),
    # bathroom
    "Candle": _kind(
        _PLAIN,
        **{"CounterTop": 4, "Toilet": 3, "Cabinet": 1, "Shelf": 1, "CoffeeTable": 2, "SideTable": 2, "DiningTable": 1},
        **{"Drawer": 1, "Cart": 1, "Dresser": 0},
    ),
    "Cloth": _kind(
        _CUTLERY,
        **{"BathtubBasin": 4, "Cabinet": 4, "Drawer": 2, "CounterTop": 2, "SinkBasin": 1, "Shelf": 1, "Cart": 1},
        **{"Toilet": 0, "SideTable": 0, "Dresser": 0, "GarbageCan": 0},
    ),
    "HandTowel": _kind(
        _PLAIN,
        **{"HandTowelHolder": 7, "CounterTop": 1, "Cabinet": 1, "SinkBasin": 0, "Drawer": 0, "Toilet": 0, "Shelf": 0},
        **{"GarbageCan": 0, "BathtubBasin": 0, "Cart": 0, "SideTable": 0},
    ),
    "SoapBar": _kind(
        _CUTLERY,
        **{"SinkBasin": 4, "BathtubBasin": 3, "CounterTop": 3, "Toilet": 2, "Drawer": 1, "Cabinet": 1, "Shelf": 0},
        **{"GarbageCan": 0, "Cart": 0, "SideTable": 0},
    ),
    "SoapBottle": _kind(
        _PLAIN,
        **{"CounterTop": 4, "Cabinet": 3, "Toilet": 3, "Shelf": 1, "Cart": 1, "GarbageCan": 1, "Drawer": 0},
        **{"SideTable": 0, "DiningTable": 0},
    ),
    "SprayBottle": _kind(
        _PLAIN,
        **{"Cabinet": 4, "Toilet": 3, "CounterTop": 3, "GarbageCan": 1, "Shelf": 1, "Cart": 1, "Drawer": 0},
        **{"SideTable": 0, "Dresser": 0, "DiningTable": 0},
    ),
    "TissueBox": _kind(
        _PLAIN,
        **{"CoffeeTable": 3, "Desk": 3, "CounterTop": 3, "Shelf": 2, "DiningTable": 2, "SideTable": 2, "Drawer": 1},
        **{"Cabinet": 1, "Toilet": 1, "Cart": 1, "Dresser": 0, "TVStand": 0, "GarbageCan": 0},
    ),
    "ToiletPaper": _kind(
        _PLAIN,
        **{"ToiletPaperHanger": 4, "Toilet": 4, "Cabinet": 2, "CounterTop": 2, "Drawer": 1, "GarbageCan": 1},
        **{"Shelf": 0, "Cart": 0, "Dresser": 0, "SideTable": 0},
    ),
    "Towel": _kind(_PLAIN, TowelHolder=1),
    # bedroom and living room
    "AlarmClock": _kind(_PLAIN, Desk=4, SideTable=4, Shelf=2, Dresser=2, DiningTable=0, CounterTop=0),
    "BasketBall": _kind(_PLAIN, Bed=3, Dresser=1, Desk=1, SideTable=0, DiningTable=0),
    "Book": _kind(
        _PLAIN,
        **{"Bed": 6, "Desk": 3, "Sofa": 2, "CoffeeTable": 3, "Dresser": 2, "Shelf": 1, "Drawer": 1, "ArmChair": 1},
        **{"SideTable": 1, "DiningTable": 1, "Cabinet": 0, "Ottoman": 0, "CounterTop": 0},
    ),
    "Box": _kind(
        "pickupable isReceptacleObject",
        **{"Sofa": 3, "CoffeeTable": 3, "DiningTable": 2, "Desk": 2, "Shelf": 1, "SideTable": 1, "Cabinet": 1},
        **{"ArmChair": 0, "Ottoman": 0, "Dresser": 0},
    ),
    "CD": _kind(_PLAIN, Drawer=4, Desk=3, Dresser=1, SideTable=1, Shelf=1, GarbageCan=1, Safe=0, Cabinet=0),
    "CellPhone": _kind(
        _PLAIN,
        **{"Bed": 4, "Drawer": 2, "Desk": 2, "CoffeeTable": 2, "SideTable": 2, "Dresser": 1, "Sofa": 1, "ArmChair": 1},
        **{"Shelf": 0, "Safe": 1, "DiningTable": 0, "Ottoman": 0, "CounterTop": 0},
    ),
    "CreditCard": _kind(
        _PLAIN,
        **{"Drawer": 4, "Desk": 2, "Sofa": 2, "Shelf": 1, "SideTable": 2, "CoffeeTable": 2, "Dresser": 1},
        **{"ArmChair": 1, "DiningTable": 1, "Safe": 0, "Ottoman": 0, "CounterTop": 0},
    ),
    "KeyChain": _kind(
        _PLAIN,
        **{"Drawer": 3, "SideTable": 3, "Desk": 1, "CoffeeTable": 2, "Safe": 2, "Dresser": 1, "Sofa": 1, "Shelf": 1},
        **{"ArmChair": 1, "DiningTable": 0, "Ottoman": 0, "CounterTop": 0},
    ),
    "Laptop": _kind(
        _PLAIN,
        **{"Bed": 5, "Desk": 3, "Sofa": 3, "CoffeeTable": 2, "DiningTable": 2, "ArmChair": 1, "SideTable": 0},
        **{"Dresser": 0, "Ottoman": 0, "CounterTop": 0},
    ),
    "Newspaper": _kind(
        _PLAIN,
        **{"Sofa": 3, "CoffeeTable": 3, "DiningTable": 2, "Shelf": 1, "SideTable": 1, "ArmChair": 1, "Ottoman": 1},
        **{"GarbageCan": 1, "Dresser": 0, "Drawer": 0, "Cabinet": 0},
    ),
    "Pen": _kind(
        _PLAIN,
        **{"Desk": 4, "Drawer": 3, "CoffeeTable": 2, "SideTable": 2, "Shelf": 1, "Dresser": 1, "GarbageCan": 0},
        **{"DiningTable": 0, "CounterTop": 0},
    ),
    "Pencil": _kind(
        _PLAIN,
        **{"Desk": 4, "SideTable": 3, "Drawer": 2, "CoffeeTable": 2, "Shelf": 2, "Dresser": 0, "GarbageCan": 1},
        **{"DiningTable": 0, "CounterTop": 0},
    ),
    "Pillow": _kind(_PLAIN, Bed=6, Sofa=5, ArmChair=2, Ottoman=0),
    "RemoteControl": _kind(
        _PLAIN,
        **{"Sofa": 3, "CoffeeTable": 3, "TVStand": 2, "Desk": 2, "SideTable": 1, "Drawer": 1, "ArmChair": 1},
        **{"Dresser": 1, "DiningTable": 0, "Ottoman": 0, "Shelf": 0},
    ),
    "Statue": _kind(_PLAIN, Shelf=4, CoffeeTable=3, DiningTable=2, Desk=2, Dresser=1, SideTable=1, TVStand=1, Safe=0),
    "Vase": _kind(_PLAIN, Shelf=5, CoffeeTable=2, DiningTable=2, SideTable=1, Dresser=1, Desk=0, Cabinet=1, Safe=0),
    "Watch": _kind(_PLAIN, Drawer=3, CoffeeTable=2, SideTable=2, Dresser=2, DiningTable=1, Shelf=1, Safe=1, Desk=1),
    "WateringCan": _kind(_PLAIN, CoffeeTable=3, Shelf=3, SideTable=2, Cabinet=1, DiningTable=0, Dresser=0, Drawer=0),
    # standing where they stand
    "DeskLamp": _kind("toggleable", Desk=4, SideTable=3, Shelf=1, Dresser=2, CoffeeTable=1),
    "HousePlant": _kind("", Shelf=2, SideTable=2, CounterTop=2, Desk=1, CoffeeTable=1, DiningTable=1, Dresser=1),
    "Television": _kind("", TVStand=4, Dresser=3, CoffeeTable=1),
}
