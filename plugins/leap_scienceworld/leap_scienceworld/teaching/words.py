"""What actions are made of, and how the rooms are connected."""

import re
from collections import deque
from collections.abc import Mapping, Sequence

# The same in all variations.
DOORS: Mapping[str, tuple[str, ...]] = {
    "hallway": ("kitchen", "bedroom", "living room", "workshop", "art studio", "greenhouse"),
    "kitchen": ("hallway", "bathroom", "outside"),
    "outside": ("kitchen", "greenhouse", "foundry"),
    "greenhouse": ("hallway", "outside"),
    "bathroom": ("kitchen",),
    "bedroom": ("hallway",),
    "living room": ("hallway",),
    "workshop": ("hallway",),
    "art studio": ("hallway",),
    "foundry": ("outside",),
}

_VERBS = (
    "look at", "look in", "look around", "pick up", "put down", "focus on", "go to", "teleport to", "reset task",
    "connect", "disconnect", "activate", "deactivate", "examine", "inventory", "open", "close", "move", "pour", "dunk",
    "mix", "use", "read", "flush", "eat", "task", "wait1", "wait",
)  # fmt: skip
_BETWEEN = {"move": " to ", "connect": " to ", "pour": " in ", "dunk": " in ", "use": " on "}


def verb_of(action: str) -> str:
    """Return the verb of an action, such as "pick up"."""
    return next((verb for verb in _VERBS if action == verb or action.startswith(f"{verb} ")), action.split(" ")[0])


def things_of(action: str) -> Sequence[str]:
    """Return the things that an action names: "move cup to sink" names "cup" and "sink"."""
    verb = verb_of(action)
    rest = action.removeprefix(verb).strip().replace(" into ", " in ")
    first, _, second = rest.partition(_BETWEEN[verb]) if verb in _BETWEEN else (rest, "", "")
    return [thing.strip() for thing in (first, second) if thing.strip()]


def is_move(action: str) -> bool:
    """Return whether an action only leads from room to room."""
    verb = verb_of(action)
    return verb in ("go to", "teleport to") or (
        verb in ("open", "close") and re.search(r"\bdoor\b", action) is not None
    )


def way(start: str, end: str) -> str:
    """Return the room to go to next from ``start`` on the shortest way to ``end``; empty if there is none."""
    reached, waiting = {start: ""}, deque([start])
    while waiting:
        room = waiting.popleft()
        for other in DOORS.get(room, ()):
            if other not in reached:
                reached[other] = reached[room] or other
                waiting.append(other)
    return reached.get(end, "")


def step_towards(actions: Sequence[str], room: str, end: str) -> str:
    """Return the admissible action that leads from ``room`` towards ``end``; empty if there is none."""
    if f"teleport to {end}" in actions:
        return f"teleport to {end}"
    other = way(room, end)
    if not other:
        return ""
    going = [action for action in actions if verb_of(action) == "go to" and action.endswith(other)]
    opening = [action for action in actions if verb_of(action) == "open" and is_move(action) and other in action]
    return min(going or opening, key=len, default="")


def closest(action: str, actions: Sequence[str]) -> str:
    """Return which of ``actions`` says the same as ``action``; empty if none is alike.

    A thing has several names, "water" and "substance in metal pot", and which one is listed can change.
    """
    if action in actions:
        return action
    verb, words = verb_of(action), set(action.split())
    alike = [(_likeness(words, set(each.split())), each) for each in actions if verb_of(each) == verb]
    likeness, found = max(alike, key=lambda pair: (pair[0], -len(pair[1]), pair[1]), default=(0.0, ""))
    return found if likeness > 1 / 2 else ""


def harmless(actions: Sequence[str]) -> str:
    """Return an admissible action that lets time pass, or at least ends nothing."""
    preferred = ("wait1", "wait", "look around", "inventory")
    # A number answers the question which of several things is meant.
    others = sorted(action for action in actions if verb_of(action) not in ("focus on", "reset task", "eat"))
    return next((action for action in (*preferred, *others, *actions) if action in actions), "")


def _likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
