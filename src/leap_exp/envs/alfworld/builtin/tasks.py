"""The six task types: which task fits a room, its sentence and its goal."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from leap_exp.envs.alfworld.builtin.catalogue import LAMP, OBJECT_KINDS, ROOM_KINDS
from leap_exp.envs.alfworld.builtin.rooms import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """What the tasks of a type have in common.

    ``rooms`` gives a weight to each room kind that has such tasks. Where the target must be treated first, ``trait``
    says what it must allow, ``appliance`` the receptacle that does it, ``verb`` the command and ``state`` the result.
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
        """Whether the target is to be looked at under a lamp instead of put somewhere."""
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
"""In the order in which games take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseholdTask:
    """A task in a room: the kind of the target, and the kind of receptacle it goes to ("" under a lamp)."""

    type: TaskType
    target: str
    goal: str
    sentence: str


def draw_task(task_type: TaskType, room: Room, rng: Random) -> HouseholdTask:
    """A task of ``task_type`` that can be done in ``room``, each kind of target equally likely."""
    goals = {target: _goals(task_type, target, room) for target in ROOM_KINDS[room.kind].objects}
    target = rng.choice([target for target, kinds in goals.items() if kinds])
    goal = rng.choice(goals[target])
    sentence = rng.choice(task_type.sentences).format(target=target.lower(), goal=goal.lower())
    return HouseholdTask(type=task_type, target=target, goal=goal, sentence=sentence)


def _goals(task_type: TaskType, target: str, room: Room) -> list[str]:
    """The kinds of receptacles in ``room`` that a ``target`` can be asked to go to, and come to from elsewhere."""
    kind = OBJECT_KINDS[target]
    if task_type.trait not in kind.traits:
        return []
    homes = {place for place in kind.found if place in room.receptacles}
    if task_type.needs_lamp:
        return [""] if homes else []
    goals = [place for place in kind.fits if place in room.receptacles and place != task_type.appliance]
    return [place for place in goals if homes - {place}]


def goal_condition(task: HouseholdTask) -> str:
    """The goal of ``task`` in PDDL."""
    target = f"{task.target}Type"
    if task.type.needs_lamp:
        return (
            "(and (exists (?ot - object ?r - receptacle ?a - agent ?l - location)"
            f" (and (objectType ?ot {LAMP}Type) (toggleable ?ot) (isToggled ?ot)"
            " (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r)))"
            f" (exists (?o - object ?a - agent) (and (objectType ?o {target}) (holds ?a ?o))))"
        )
    goal = f"(receptacleType ?r {task.goal}Type)"
    if task.type.targets == 2:
        return (
            "(and (exists (?r - receptacle) (exists (?o1 - object)"
            f" (and (objectType ?o1 {target}) {goal} (inReceptacle ?o1 ?r)"
            " (exists (?o2 - object) (and (not (= ?o1 ?o2))"
            f" (objectType ?o2 {target}) {goal} (inReceptacle ?o2 ?r)))))))"
        )
    treated = f"({task.type.trait} ?o) ({task.type.state} ?o) " if task.type.state else ""
    return (
        "(and (exists (?r - receptacle) (exists (?o - object)"
        f" (and {treated}(objectType ?o {target}) {goal} (inReceptacle ?o ?r)))))"
    )
