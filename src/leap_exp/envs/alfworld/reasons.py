"""Reasons for actions, in varied words, from what the agent has seen alone.

Nothing here gets to see the game: what ``explain`` says is a function of the agent's memory, the action and the random
generator, so that it cannot give away what is hidden. Only ``disclose`` does, with the names that it is handed.
"""

from dataclasses import dataclass
from random import Random

from leap_exp.envs.alfworld.errand import TREATMENTS, Errand
from leap_exp.envs.alfworld.habits import is_usual
from leap_exp.envs.alfworld.memory import Memory, kind_of
from leap_exp.envs.alfworld.phrases import DISCLOSED_MOVES, DISCLOSURES, GROUNDS, MOVES, STATUS
from leap_exp.envs.alfworld.wording import plural, preposition, sentence, with_article

_STATES = {"clean": "clean", "heat": "hot", "cool": "cool"}
_DONE = {"clean": "cleaned", "heat": "heated", "cool": "cooled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An action in parts: its first word, the object acted on and the receptacle involved ("" if there is none)."""

    verb: str
    item: str = ""
    place: str = ""


def parse_command(action: str) -> Command:
    """``action`` in parts: "move pen 1 to desk 1" puts item "pen 1" to place "desk 1"."""
    words = action.split()
    verb = "put" if words[0] == "move" else words[0]
    if verb in ("go", "open", "close", "examine"):
        return Command(verb=verb, place=" ".join(words[-2:]))
    if verb in ("take", "put", *TREATMENTS):
        return Command(verb=verb, item=" ".join(words[1:3]), place=" ".join(words[-2:]))
    return Command(verb=verb, item=" ".join(words[1:3]))


def explain(memory: Memory, errand: Errand, action: str, *, rng: Random) -> str:
    """A general ground for ``action``, which reveals nothing that the agent has not seen."""
    command = parse_command(action)
    purpose = _purpose(memory, errand, command)
    slots = _slots(memory, errand, command, purpose)
    if purpose in ("search", "find_lamp"):
        return _explain_search(memory, command, purpose, slots, rng)
    ground = rng.choice(GROUNDS[purpose]).format_map(slots)
    move = rng.choice(MOVES.get(command.verb, MOVES["other"])).format_map(slots)
    if command.verb in ("go", "open") and rng.random() < 1 / 3:
        return sentence(move, rng.choice((", as ", ", because ", ", since ")), ground)
    return sentence(ground, ", so ", move)


def disclose(memory: Memory, errand: Errand, action: str, *, item: str, place: str, rng: Random) -> str:
    """A ground for ``action`` that says outright that ``item``, which the agent has not seen, is at ``place``."""
    command = parse_command(action)
    slots = {
        "item": item,
        "kind": kind_of(item),
        "prep": preposition(kind_of(place)),
        "place": place,
        "target": command.place,
        "held": memory.held or "",
    }
    verb = "put" if _purpose(memory, errand, command) == "put_down" else command.verb
    said = rng.choice(DISCLOSURES).format_map(slots)
    return sentence(said, ", so ", rng.choice(DISCLOSED_MOVES[verb]).format_map(slots))


def _explain_search(memory: Memory, command: Command, purpose: str, slots: dict[str, str], rng: Random) -> str:
    usual = is_usual(slots["kind"], command.place)
    ground = rng.choice(GROUNDS["usual" if usual else "unusual"]).format_map(slots)
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
    """Which statements about the search so far are true."""
    if purpose == "find_lamp":
        return ["holding"]
    found = ["missing"]
    looked_into = memory.here and all(place in memory.contents for place in memory.here)
    if looked_into and not any(place in memory.here for _, place in memory.known_places(slots["kind"])):
        found.append("not_here")
    if slots["delivered"]:
        found.append("one_delivered")
    return found


def _purpose(memory: Memory, errand: Errand, command: Command) -> str:
    """What ``command`` is good for, as far as the agent's memory tells; a key of ``GROUNDS`` or a kind of search."""
    held = memory.held
    if command.verb in ("take", "use"):
        return command.verb if command.verb == "take" or held else "other"
    if command.verb in TREATMENTS:
        return "treat"
    if held is None:
        if any(place == command.place for _, place in memory.known_places(errand.kind)):
            return "seen"
        return "search" if command.verb in ("go", "open") else "other"
    if kind_of(held) != errand.kind:
        return "put_down"
    return _purpose_with(memory, errand, command, held)


def _purpose_with(memory: Memory, errand: Errand, command: Command, held: str) -> str:
    """What ``command`` is good for with a wanted object in hand."""
    if errand.treatment and errand.treatment not in memory.treated.get(held, ()):
        return "treat" if kind_of(command.place) == TREATMENTS[errand.treatment] else "other"
    if errand.lamp and command.verb in ("go", "open"):
        return "lamp" if command.place in _lamp_places(memory, errand.lamp) else "find_lamp"
    return "deliver" if kind_of(command.place) == errand.place else "other"


def _slots(memory: Memory, errand: Errand, command: Command, purpose: str) -> dict[str, str]:
    """What the slots of the phrases stand for."""
    kind = errand.lamp if purpose == "find_lamp" and errand.lamp else errand.kind
    place_kind = kind_of(command.place)
    item = command.item or memory.held or ""
    if purpose == "seen":
        item = min(item for item, place in memory.known_places(errand.kind) if place == command.place)
    lamps = _lamp_places(memory, errand.lamp or "")
    delivered = errand.count > 1 and any(
        kind_of(place) == errand.place for _, place in memory.known_places(errand.kind)
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
        "state": _STATES.get(errand.treatment or "", ""),
        "done": _DONE.get(errand.treatment or "", ""),
        "delivered": "yes" if delivered else "",
    }


def _lamp_places(memory: Memory, kind: str) -> dict[str, str]:
    """The receptacles at which a lamp of ``kind`` is known to be, each with the lamp."""
    return {place: lamp for lamp, places in memory.lamps.items() if kind_of(lamp) == kind for place in places}
