"""The six task types, and tasks drawn for a room."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from leap_exp.envs.alfworld.builtin.catalogue import OBJECT_KINDS, ROOM_KINDS
from leap_exp.envs.alfworld.builtin.rooms import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """A type of task.

    Attributes:
        name: ALFWorld's name of the type.
        sentences: Templates of the task sentence.
        rooms: The kinds of rooms that have such tasks, with weights.
        targets: How many target objects are needed.
        trait: The predicate that target objects must satisfy.
        appliance: The kind of receptacle that changes the target object; empty if it is not changed.
        verb: The command that changes it.
        state: The predicate that then holds.
    """

    name: str
    sentences: tuple[str, str]
    rooms: Mapping[str, int]
    targets: int = 1
    trait: str = "pickupable"
    appliance: str = ""
    verb: str = ""
    state: str = ""

    @property
    def needs_lamp(self) -> bool:
        """Whether the target object must be looked at under a lamp, instead of put somewhere."""
        return self.name == "look_at_obj_in_light"


_ANY_ROOM = {"kitchen": 1, "bathroom": 1, "bedroom": 1, "livingroom": 1}

TASK_TYPES = (
    TaskType(
        name="pick_and_place_simple",
        sentences=("put a {target} in {goal}.", "put some {target} on {goal}."),
        rooms=_ANY_ROOM,
    ),
    TaskType(
        name="look_at_obj_in_light",
        sentences=("look at {target} under the desklamp.", "examine the {target} with the desklamp."),
        rooms={"bedroom": 3, "livingroom": 1},
    ),
    TaskType(
        name="pick_clean_then_place_in_recep",
        sentences=("put a clean {target} in {goal}.", "clean some {target} and put it in {goal}."),
        rooms={"kitchen": 2, "bathroom": 1},
        trait="cleanable",
        appliance="SinkBasin",
        verb="clean",
        state="isClean",
    ),
    TaskType(
        name="pick_heat_then_place_in_recep",
        sentences=("put a hot {target} in {goal}.", "heat some {target} and put it in {goal}."),
        rooms={"kitchen": 1},
        trait="heatable",
        appliance="Microwave",
        verb="heat",
        state="isHot",
    ),
    TaskType(
        name="pick_cool_then_place_in_recep",
        sentences=("put a cool {target} in {goal}.", "cool some {target} and put it in {goal}."),
        rooms={"kitchen": 1},
        trait="coolable",
        appliance="Fridge",
        verb="cool",
        state="isCool",
    ),
    TaskType(
        name="pick_two_obj_and_place",
        sentences=("put two {target} in {goal}.", "find two {target} and put them in {goal}."),
        rooms=_ANY_ROOM,
        targets=2,
    ),
)
"""In the order in which they alternate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseholdTask:
    """A task: the kinds of the target objects and of the goal receptacle ("" for a lamp task), and the sentence."""

    type: TaskType
    target: str
    goal: str
    sentence: str


def draw_task(task_type: TaskType, room: Room, rng: Random) -> HouseholdTask:
    """Draw a task that can be solved in ``room``; all kinds of target objects are equally likely."""
    goals = {target: _goals(task_type, target, room) for target in ROOM_KINDS[room.kind].objects}
    target = rng.choice([target for target, kinds in goals.items() if kinds])
    goal = rng.choice(goals[target])
    sentence = rng.choice(task_type.sentences).format(target=target.lower(), goal=goal.lower())
    return HouseholdTask(type=task_type, target=target, goal=goal, sentence=sentence)


def _goals(task_type: TaskType, target: str, room: Room) -> list[str]:
    """Return the kinds of receptacles that a ``target`` can be brought to from another kind of receptacle."""
    kind = OBJECT_KINDS[target]
    if task_type.trait not in kind.traits:
        return []
    homes = {place for place in kind.found if place in room.receptacles}
    if task_type.needs_lamp:
        return [""] if homes else []
    goals = [place for place in kind.fits if place in room.receptacles and place != task_type.appliance]
    return [place for place in goals if homes - {place}]
