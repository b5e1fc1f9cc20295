"""Reasons for actions, in varied words.

No function here has access to the game. ``explain`` uses only the agent's memory and the action, so it cannot reveal
hidden facts; ``disclose`` reveals only the names that it is given.
"""

from dataclasses import dataclass
from random import Random

from leap_exp.envs.alfworld.teaching.likely_places import is_likely
from leap_exp.envs.alfworld.teaching.memory import Memory, kind_of
from leap_exp.envs.alfworld.teaching.phrases import (
    DISCLOSED_MOVES,
    DISCLOSURES,
    GROUNDS,
    MOVES,
    STATUS,
    plural,
    preposition,
    sentence,
    with_article,
)
from leap_exp.envs.alfworld.teaching.subtask import TREATMENTS, Subtask

_STATES = {"clean": "clean", "heat": "hot", "cool": "cool"}
_DONE = {"clean": "cleaned", "heat": "heated", "cool": "cooled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The parts of an action: the verb, the object and the receptacle ("" if there is none)."""

    verb: str
    item: str = ""
    place: str = ""


def parse_command(action: str) -> Command:
    """Parse an action: "move pen 1 to desk 1" has the verb "put", the item "pen 1" and the place "desk 1"."""
    words = action.split()
    verb = "put" if words[0] == "move" else words[0]
    if verb in ("go", "open", "close", "examine"):
        return Command(verb=verb, place=" ".join(words[-2:]))
    if verb in ("take", "put", *TREATMENTS):
        return Command(verb=verb, item=" ".join(words[1:3]), place=" ".join(words[-2:]))
    return Command(verb=verb, item=" ".join(words[1:3]))


def explain(memory: Memory, subtask: Subtask, action: str, *, rng: Random) -> str:
    """Return a general reason for ``action``, which reveals nothing that the agent has not seen."""
    command = parse_command(action)
    purpose = _purpose(memory, subtask, command)
    slots = _slots(memory, subtask, command, purpose)
    if purpose in ("search", "find_lamp"):
        return _explain_search(memory, command, purpose, slots, rng)
    ground = rng.choice(GROUNDS[purpose]).format_map(slots)
    move = rng.choice(MOVES.get(command.verb, MOVES["other"])).format_map(slots)
    if command.verb in ("go", "open") and rng.random() < 1 / 3:
        return sentence(move, rng.choice((", as ", ", because ", ", since ")), ground)
    return sentence(ground, ", so ", move)


def disclose(memory: Memory, subtask: Subtask, action: str, *, item: str, place: str, rng: Random) -> str:
    """Return a reason for ``action`` that reveals that ``item``, which the agent has not seen, is at ``place``."""
    command = parse_command(action)
    slots = {
        "item": item,
        "kind": kind_of(item),
        "prep": preposition(kind_of(place)),
        "place": place,
        "target": command.place,
        "held": memory.held or "",
    }
    verb = "put" if _purpose(memory, subtask, command) == "put_down" else command.verb
    ground = rng.choice(DISCLOSURES).format_map(slots)
    return sentence(ground, ", so ", rng.choice(DISCLOSED_MOVES[verb]).format_map(slots))


def _explain_search(memory: Memory, command: Command, purpose: str, slots: dict[str, str], rng: Random) -> str:
    likely = is_likely(slots["kind"], command.place)
    ground = rng.choice(GROUNDS["usual" if likely else "unusual"]).format_map(slots)
    move = rng.choice(MOVES[f"{command.verb}_search"]).format_map(slots)
    status = rng.choice(STATUS[rng.choice(_statuses(memory, purpose, slots))]).format_map(slots)
    forms = (
        (ground, ", so ", move),
        (move, rng.choice((", as ", ", because ", ", since ")), ground),
        (status, ", so ", move),
        (status, "; ", ground, ", so ", move),
    )
    return sentence(*rng.choice(forms))


def _statuses(memory: Memory, purpose: str, slots: dict[str, str]) -> list[str]:
    """Return the keys of ``STATUS`` whose statements are true."""
    if purpose == "find_lamp":
        return ["holding"]
    found = ["missing"]
    looked_into = memory.here and all(place in memory.contents for place in memory.here)
    if looked_into and not any(place in memory.here for _, place in memory.known_places(slots["kind"])):
        found.append("not_here")
    if slots["delivered"]:
        found.append("one_delivered")
    return found


def _purpose(memory: Memory, subtask: Subtask, command: Command) -> str:
    """Return what ``command`` is for, judging by the agent's memory: a key of ``GROUNDS``, "search" or "find_lamp"."""
    held = memory.held
    if command.verb in ("take", "use"):
        return command.verb if command.verb == "take" or held else "other"
    if command.verb in TREATMENTS:
        return "treat"
    if held is None:
        if any(place == command.place for _, place in memory.known_places(subtask.kind)):
            return "seen"
        return "search" if command.verb in ("go", "open") else "other"
    if kind_of(held) != subtask.kind:
        return "put_down"
    return _purpose_with(memory, subtask, command, held)


def _purpose_with(memory: Memory, subtask: Subtask, command: Command, held: str) -> str:
    """Return what ``command`` is for while the agent holds a target object."""
    if subtask.treatment and subtask.treatment not in memory.treated.get(held, ()):
        return "treat" if kind_of(command.place) == TREATMENTS[subtask.treatment] else "other"
    if subtask.lamp and command.verb in ("go", "open"):
        return "lamp" if command.place in _lamp_places(memory, subtask.lamp) else "find_lamp"
    return "deliver" if kind_of(command.place) == subtask.place else "other"


def _slots(memory: Memory, subtask: Subtask, command: Command, purpose: str) -> dict[str, str]:
    """Return the values of the phrases' slots."""
    kind = subtask.lamp if purpose == "find_lamp" and subtask.lamp else subtask.kind
    place_kind = kind_of(command.place)
    item = command.item or memory.held or ""
    if purpose == "seen":
        item = min(item for item, place in memory.known_places(subtask.kind) if place == command.place)
    lamps = _lamp_places(memory, subtask.lamp or "")
    delivered = subtask.count > 1 and any(
        kind_of(place) == subtask.place for _, place in memory.known_places(subtask.kind)
    )
    return {
        "kind": kind,
        "a_kind": with_article(kind),
        "kinds": plural(kind),
        "place": command.place,
        "a_place": with_article(place_kind) if place_kind else "",
        "places": plural(place_kind) if place_kind else "",
        "prep": preposition(place_kind),
        "here": memory.here[0] if memory.here else "",
        "item": memory.held or item if purpose in ("use", "lamp") else item,
        "lamp": command.item if command.verb == "use" else lamps.get(command.place, ""),
        "state": _STATES.get(subtask.treatment or "", ""),
        "done": _DONE.get(subtask.treatment or "", ""),
        "delivered": "yes" if delivered else "",
    }


def _lamp_places(memory: Memory, kind: str) -> dict[str, str]:
    """Return the known receptacles with a lamp of ``kind``, each with the lamp."""
    return {place: lamp for lamp, places in memory.lamps.items() if kind_of(lamp) == kind for place in places}
