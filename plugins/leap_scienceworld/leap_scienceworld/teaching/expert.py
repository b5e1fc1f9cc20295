"""The expert without privileged facts: it explores the rooms, and finishes the tasks that ask to find something.

It knows what a child knows: what lives, which things are plants, and how long animals live. For the tasks that are
experiments it has no method of its own; there it only explores.
"""

import re
from collections.abc import Sequence

from leap_exp.core.types import View
from leap_scienceworld.teaching.memory import Memory, recall
from leap_scienceworld.teaching.words import DOORS, harmless, step_towards, things_of, verb_of

# From the longest to the shortest life.
LIFE_SPANS = (
    "giant tortoise", "tortoise", "parrot", "crocodile", "elephant", "brown bear", "chimpanzee", "baboon", "turtle",
    "beaver", "wolf", "toad", "frog", "blue jay", "dove", "rabbit", "chipmunk", "hedgehog", "chameleon lizard", "mouse",
    "bee", "ant", "dragonfly", "moth", "butterfly", "fly", "mayfly",
)  # fmt: skip
_PLANTS = re.compile(r"\b(tree|plant|flower|seed)\b(?! pot)")
_NOT_MOVABLE = re.compile(
    r"\b(air|agent|door|wall|sink|stove|oven|freezer|fridge|table|counter|cupboard|box|inventory|picture|orange|"
    + "|".join(DOORS)
    + r")\b"
)
_FIND = re.compile(
    r"find an?(?:\(n\))? (?P<kind>[a-z() -]+?)\. First, focus on.*?move it to the (?P<box>[a-z ]+?) in the "
    r"(?P<room>[a-z ]+)\."
)
_LIFE = re.compile(r"find the animal with the (?P<kind>longest|shortest)")


def expert_action(view: View, *, first: str = "") -> str:
    """Return the expert's next action; it looks for things in the room ``first`` before it goes to others."""
    memory = recall(view)
    task = " ".join(view.task.instruction.split())
    actions = view.observation.admissible_actions or ()
    chosen = ""
    if found := _FIND.search(task):
        chosen = _find(memory, actions, kind=found["kind"], box=found["box"], room=found["room"])
    elif found := _LIFE.search(task):
        chosen = _name_animal(memory, actions, longest_first=found["kind"] == "longest")
    return chosen or _explore(memory, actions, first)


def is_sound(view: View, action: str) -> bool:
    """Return whether ``action`` is as good as the expert's: a way on while it explores."""
    choice = expert_action(view)
    exploring = ("go to", "open", "look around")
    memory = recall(view)
    if verb_of(choice) not in exploring or verb_of(action) not in exploring or choice == "look around":
        return action == choice
    return action not in memory.actions


def _find(memory: Memory, actions: Sequence[str], *, kind: str, box: str, room: str) -> str:
    """Focus on a thing of the ``kind``, take it, and put it into the ``box`` in the ``room``; empty to look further."""
    focused = [things_of(action)[0] for action in memory.actions if verb_of(action) == "focus on"]
    if not focused:
        fitting = [action for action in actions if verb_of(action) == "focus on" and _fits(things_of(action)[0], kind)]
        portable = {things_of(action)[0] for action in actions if verb_of(action) == "pick up"}
        return min((each for each in fitting if things_of(each)[0] in portable), key=len, default="")
    taken = [action for action in memory.actions if verb_of(action) == "pick up"]
    if not taken:
        return next((each for each in actions if each == f"pick up {focused[0]}"), "")
    if memory.room != room:
        return step_towards(actions, memory.room, room)
    moves = [each for each in actions if verb_of(each) == "move" and each.endswith(f" to {box}")]
    head = focused[0].split(" in ")[0]
    return min((each for each in moves if head in each), key=len, default="")


def _fits(thing: str, kind: str) -> bool:
    head = thing.split(" in ")[0]
    plant, animal = _PLANTS.search(head) is not None, _animal(head) is not None
    if kind.startswith("non-living"):
        return not plant and not animal and _NOT_MOVABLE.search(head) is None and not head.startswith("egg")
    if kind.startswith("plant"):
        return plant
    return animal if kind.startswith("animal") else plant or animal


def _animal(name: str) -> int | None:
    """Return the rank of an animal by its life span, 0 for the longest; None if ``name`` has no animal."""
    return next((rank for rank, animal in enumerate(LIFE_SPANS) if re.search(rf"\b{animal}\b", name)), None)


def _name_animal(memory: Memory, actions: Sequence[str], *, longest_first: bool) -> str:
    """Focus on the animal that lives longest or shortest of those outside."""
    if memory.room != "outside":
        return step_towards(actions, memory.room, "outside")
    if "outside" not in memory.texts:
        return "look around"
    done = sum(verb_of(action) == "focus on" for action in memory.actions)
    ranked = sorted(
        (rank, action)
        for action in actions
        if verb_of(action) == "focus on"
        and " in " not in action
        and (rank := _animal(things_of(action)[0])) is not None
        and "egg" not in action
    )
    if not ranked:
        return ""
    return ranked[0][1] if longest_first != bool(done) else ranked[-1][1]


def _explore(memory: Memory, actions: Sequence[str], first: str) -> str:
    """Look around in a new room, then go to the nearest one that was not seen, ``first`` before all others."""
    if memory.room not in memory.texts and "look around" in actions:
        return "look around"
    unseen = [room for room in DOORS if room not in memory.texts]
    for goal in [first, *_nearest_first(memory.room, unseen)]:
        if goal and goal != memory.room and (action := step_towards(actions, memory.room, goal)):
            return action
    closed = [each for each in actions if verb_of(each) == "open" and each not in memory.actions]
    return min(closed, default="") or harmless(actions)


def _nearest_first(start: str, rooms: Sequence[str]) -> list[str]:
    distance, waiting = {start: 0}, [start]
    for room in waiting:
        for other in DOORS.get(room, ()):
            if other not in distance:
                distance[other] = distance[room] + 1
                waiting.append(other)
    return sorted(rooms, key=lambda room: (distance.get(room, len(DOORS)), room))
