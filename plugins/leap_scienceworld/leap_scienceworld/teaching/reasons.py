"""Reasons for actions. ``explain`` sees only the action and the task, so that it cannot reveal what is hidden."""

from collections.abc import Mapping
from random import Random

from leap_scienceworld.teaching.words import is_move, things_of, verb_of

_EXPLANATIONS: Mapping[str, tuple[str, ...]] = {
    "move on": (
        "What I need may be elsewhere, so I go on.",
        "I have done what I can in this room, so I move on.",
        "There are other rooms to see, so I go there.",
    ),
    "look around": ("I want to see what is here first.", "I look around to know what this room has."),
    "look": ("I want to know more about {thing} before I go on.", "A closer look at {thing} may tell what to do."),
    "focus on": (
        "The task asks me to focus on it, and {thing} is what it means.",
        "{thing} fits the task, so I focus on it.",
    ),
    "pick up": ("I will need {thing}, so I take it along.", "{thing} is of use for the task, so I pick it up."),
    "move": ("{thing} has to be there for the task, so I put it there.", "The next thing to do is to place {thing}."),
    "open": ("{thing} is closed, so I open it.", "There may be something in {thing}, so I open it."),
    "activate": ("{thing} has to run for this, so I turn it on.", "I need {thing} now, so I switch it on."),
    "deactivate": ("{thing} has done its work, so I turn it off.",),
    "use": ("{thing} tells or does what I need here, so I use it.", "This is what {thing} is for."),
    "wait": ("This takes time, so I wait.", "Nothing more to do until something has changed, so I wait."),
    "connect": ("The circuit needs this connection.", "{thing} has to be part of the circuit."),
    "mix": ("The contents have to be mixed.", "I mix what is in {thing} to see what it gives."),
    "pour": ("I need the contents of {thing} there, so I pour them.",),
    "other": ("This is the next thing that the task needs.", "It brings the task forward."),
}

_DISCLOSURES = (
    "{thing} is in the {room}, so {move}.",
    "I know that the {room} has {thing}, so {move}.",
)
_OUTRIGHT = (
    "I know that {thing} is what the task needs next, so {move}.",
    "The solution goes on with {thing}, so {move}.",
)


def explain(action: str, *, rng: Random) -> str:
    """Return a reason for ``action`` that names nothing which the action itself does not name."""
    verb = verb_of(action)
    if is_move(action):
        key = "move on"
    elif verb in ("look at", "look in", "examine", "inventory", "task", "read"):
        key = "look"
    else:
        key = {"wait1": "wait", "dunk": "pour"}.get(verb, verb)
    names = things_of(action)
    text = rng.choice(_EXPLANATIONS.get(key, _EXPLANATIONS["other"]))
    reason = text.format(thing=f"the {names[0]}" if names else "it")
    return reason[0].upper() + reason[1:]


def reveal(action: str, *, thing: str, room: str, rng: Random) -> str:
    """Return a reason for ``action`` that says where ``thing`` is: in ``room``, or here if that is empty."""
    move = "I go there" if is_move(action) else "I do this now"
    text = rng.choice(_DISCLOSURES if room else _OUTRIGHT).format(thing=f"the {thing}", room=room, move=move)
    return text[0].upper() + text[1:]
