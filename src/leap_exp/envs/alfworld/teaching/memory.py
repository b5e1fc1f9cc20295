"""What an agent knows from its history: receptacles and their contents, what it holds and what it has done."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from leap_exp.core.types import Observation, View

_NAME = re.compile(r"\b[a-z]+ \d+\b")
_ROOM = re.compile(r"Looking quickly around you, you see ([^.]*)\.")
_CONTENTS = re.compile(r"(?:On the ([a-z]+ \d+)|The ([a-z]+ \d+) is open\. In it), you see ([^.]*)\.")
_CLOSED = re.compile(r"The ([a-z]+ \d+) is closed\.")
_EVENT = re.compile(r"^You (pick up|move|put|clean|heat|cool|open|close) the ([a-z]+ \d+)\b(?:.*?([a-z]+ \d+))?")
_USE_OF_HELD = re.compile(r"(?:move|put|clean|heat|cool) ([a-z]+ \d+) (?:to|in/on|with) ")
_COMMANDS = ("go to ", "open ", "close ", "examine ", "use ")
_UNDONE = {"heat": "cool", "cool": "heat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a single observation shows.

    Attributes:
        names: Names of all objects and receptacles in it.
        room: The receptacles that the opening text lists.
        contents: The receptacles whose contents are listed, with the contents.
        closed: The receptacles that are described as closed.
        event: What the last action did: a verb, its object and the other thing involved (or "").
        takeable: The objects that can be taken, each with its receptacle.
        commands: The other admissible commands that name one thing, as (command, name).
    """

    names: frozenset[str]
    room: tuple[str, ...]
    contents: tuple[tuple[str, tuple[str, ...]], ...]
    closed: tuple[str, ...]
    event: tuple[str, str, str] | None
    takeable: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]


@lru_cache(maxsize=16384)
def read_observation(observation: Observation) -> Sighting:
    """Read the text and the admissible commands of ``observation``."""
    text = observation.text
    takeable, commands = [], []
    for command in observation.admissible_actions or ():
        if command.startswith("take "):
            item, place = command.removeprefix("take ").split(" from ")
            takeable.append((item, place))
        elif heading := next((head for head in _COMMANDS if command.startswith(head)), None):
            commands.append((heading.strip(), command.removeprefix(heading)))
    room = _ROOM.search(text)
    event = _EVENT.match(text)
    return Sighting(
        names=frozenset(_NAME.findall("\n".join((text, *(observation.admissible_actions or ()))))),
        room=tuple(_NAME.findall(room[1])) if room else (),
        contents=tuple((found[1] or found[2], tuple(_NAME.findall(found[3]))) for found in _CONTENTS.finditer(text)),
        closed=tuple(_CLOSED.findall(text)),
        event=(event[1], event[2], event[3] or "") if event else None,
        takeable=tuple(takeable),
        commands=tuple(commands),
    )


def seen_names(view: View) -> set[str]:
    """Return the names of all objects and receptacles, such as "mug 1", that the student has seen in ``view``."""
    return set().union(*(read_observation(observation).names for observation in _observations(view)))


@dataclass(slots=True)
class Memory:
    """What an agent knows after its history, in names that players see."""

    places: list[str] = field(default_factory=list)
    """All receptacles, in the order of the opening text."""
    contents: dict[str, set[str]] = field(default_factory=dict)
    """The last known contents of each receptacle that was searched."""
    visits: dict[str, int] = field(default_factory=dict)
    """The step of the last visit to each receptacle."""
    here: tuple[str, ...] = ()
    """The receptacles within reach."""
    shut: set[str] = field(default_factory=set)
    """The receptacles that were closed when last seen."""
    held: str | None = None
    origin: str | None = None
    """The receptacle that the held object came from."""
    treated: dict[str, set[str]] = field(default_factory=dict)
    """The verbs of ``TREATMENTS`` that were applied to each object."""
    lamps: dict[str, set[str]] = field(default_factory=dict)
    """The receptacles at which each lamp was within reach."""

    def take_in(self, sighting: Sighting, step: int) -> None:
        """Add what the observation at ``step`` shows."""
        self.places.extend(place for place in sighting.room if place not in self.places)
        if sighting.event:
            self._happen(*sighting.event)
        for place, items in sighting.contents:
            self.contents[place] = set(items)
        self.shut.update(sighting.closed)
        if sighting.commands:
            self._look_around(sighting, step)

    def known_places(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield each object of ``kind`` that was seen and is not held, with its last known receptacle."""
        for place, items in self.contents.items():
            for item in items:
                if kind_of(item) == kind and item != self.held:
                    yield item, place

    def _happen(self, verb: str, item: str, other: str) -> None:
        if verb == "pick up":
            self.held, self.origin = item, other
            self.contents.setdefault(other, set()).discard(item)
        elif verb in ("move", "put"):
            self.held = self.origin = None
            self.contents.setdefault(other, set()).add(item)
        elif verb in ("open", "close"):
            (self.shut.add if verb == "close" else self.shut.discard)(item)
        else:
            done = self.treated.setdefault(item, set())
            done.add(verb)
            done.discard(_UNDONE.get(verb, ""))

    def _look_around(self, sighting: Sighting, step: int) -> None:
        named: dict[str, set[str]] = {}
        for heading, name in sighting.commands:
            named.setdefault(heading, set()).add(name)
        self.here = tuple(place for place in self.places if place in named.get("examine", ()))
        for place in self.here:
            self.visits[place] = step
        for lamp in named.get("use", ()):
            self.lamps[lamp] = set(self.here)
        self.shut.update(named.get("open", ()))
        self.shut.difference_update(named.get("close", ()))
        if self.held is None:
            # With empty hands every object in an open receptacle within reach can be taken, so nothing else is in it.
            for place in self.here:
                if place not in self.shut:
                    self.contents.setdefault(place, set())
            for item, place in sighting.takeable:
                self.contents[place].add(item)


def recall(view: View) -> Memory:
    """Return what an agent knows in ``view`` from its history alone.

    If its beginning is left out, the places and the held object are those that texts and commands name.
    """
    memory = _begun_later(view) if view.left_out else Memory()
    for step, observation in enumerate(_observations(view)):
        memory.take_in(read_observation(observation), step)
    return memory


def _begun_later(view: View) -> Memory:
    """Return what the observations of ``view`` tell about the time before them."""
    memory = Memory()
    for observation in _observations(view):
        seen = read_observation(observation)
        named = [place for heading, place in seen.commands if heading in ("go to", "open", "close")]
        named += [*(place for place, _ in seen.contents), *seen.closed, *(place for _, place in seen.takeable)]
        memory.places.extend(place for place in dict.fromkeys(named) if place not in memory.places)
    first = next(_observations(view))
    using = (_USE_OF_HELD.match(command) for command in first.admissible_actions or ())
    memory.held = next((found[1] for found in using if found), None)
    return memory


def kind_of(name: str) -> str:
    """Return the kind of a thing: "mug" for "mug 2"."""
    return name.rpartition(" ")[0]


def _observations(view: View) -> Iterator[Observation]:
    for step in view.history:
        yield step.observation
    yield view.observation
