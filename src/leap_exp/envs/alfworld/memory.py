"""What an agent can remember from its history: places, what was seen in them, what it holds and has done."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from leap_exp.core.types import Observation, View

_NAME = re.compile(r"\b[a-z]+ \d+\b")
_ROOM = re.compile(r"Looking quickly around you, you see ([^.]*)\.")
_CONTENTS = re.compile(r"(?:On the ([a-z]+ \d+)|The ([a-z]+ \d+) is open\. In it), you see ([^.]*)\.")
_CLOSED = re.compile(r"The ([a-z]+ \d+) is closed\.")
_EVENT = re.compile(
    r"^You (pick up|move|put|clean|heat|cool|turn on|open|close) the ([a-z]+ \d+)\b(?:.*?([a-z]+ \d+))?"
)
_HEADINGS = ("go to ", "open ", "close ", "examine ", "use ")
_UNDONE = {"heat": "cool", "cool": "heat"}


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one observation says by itself."""

    names: frozenset[str]
    room: tuple[str, ...]
    contents: tuple[tuple[str, tuple[str, ...]], ...]
    closed: tuple[str, ...]
    event: tuple[str, str, str] | None
    """What the last action did: a verb, its object and, where there is one, the other thing it involved."""
    takeable: tuple[tuple[str, str], ...]
    """Objects within reach, each with the receptacle to take it from."""
    commands: tuple[tuple[str, str], ...]
    """The other commands on offer that name one thing, as heading and name."""


@lru_cache(maxsize=16384)
def read_observation(observation: Observation) -> Sighting:
    """What ``observation`` says by itself: its text and the commands it offers."""
    text = observation.text
    takeable, commands = [], []
    for command in observation.admissible_actions or ():
        if command.startswith("take "):
            item, place = command.removeprefix("take ").split(" from ")
            takeable.append((item, place))
        elif heading := next((head for head in _HEADINGS if command.startswith(head)), None):
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
    """Names of all objects and receptacles (``mug 1``) that the history and the current observation have shown."""
    return set().union(*(read_observation(observation).names for observation in _observations(view)))


@dataclass(slots=True)
class Memory:
    """What an agent knows after its history; places and objects are shown names."""

    places: list[str] = field(default_factory=list)
    """All receptacles, as the opening text lists them."""
    contents: dict[str, set[str]] = field(default_factory=dict)
    """What was last known to be in each receptacle that has been looked into."""
    visits: dict[str, int] = field(default_factory=dict)
    """Step at which the agent last stood at each receptacle."""
    here: tuple[str, ...] = ()
    """Receptacles within reach."""
    shut: set[str] = field(default_factory=set)
    """Receptacles last known to be closed."""
    held: str | None = None
    origin: str | None = None
    """Receptacle that the held object was taken from."""
    treated: dict[str, set[str]] = field(default_factory=dict)
    """What has been done to each object: verbs of ``TREATMENTS``."""
    lamps: dict[str, set[str]] = field(default_factory=dict)
    """Receptacles at which each thing that can be switched on was within reach."""
    lit: set[str] = field(default_factory=set)
    """Things that were switched on at least once."""

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
        """Each object of ``kind`` seen and not held, with the receptacle it was last seen in."""
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
        elif verb == "turn on":
            self.lit.add(item)
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
            # With empty hands every object in an open receptacle within reach is on offer: nothing else is in there.
            for place in self.here:
                if place not in self.shut:
                    self.contents.setdefault(place, set())
            for item, place in sighting.takeable:
                self.contents[place].add(item)


def recall(view: View) -> Memory:
    """What an agent knows in ``view``, from what it was shown alone."""
    memory = Memory()
    for step, observation in enumerate(_observations(view)):
        memory.take_in(read_observation(observation), step)
    return memory


def kind_of(name: str) -> str:
    """The kind of a thing by its shown name: ``mug`` for ``mug 2``."""
    return name.rpartition(" ")[0]


def _observations(view: View) -> Iterator[Observation]:
    for step in view.history:
        yield step.observation
    yield view.observation
