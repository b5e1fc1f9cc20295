"""An expert that knows only its history: it searches likely places first and remembers what it saw."""

import re
from collections.abc import Iterable

from leap_exp.core.errors import EnvError
from leap_exp.core.types import View
from leap_exp.envs.alfworld.teaching.likely_places import is_likely, search_order
from leap_exp.envs.alfworld.teaching.memory import Memory, kind_of, recall
from leap_exp.envs.alfworld.teaching.subtask import TREATMENTS, Subtask, read_subtask

_PUT = re.compile(r"(?:move|put) [a-z]+ \d+ (?:to|in|on|in/on) (?P<place>[a-z]+ \d+)")


def expert_action(view: View, *, first: str | None = None) -> str:
    """Return the next admissible action towards the goal of the task.

    It works from any history: places are not searched twice, and useless objects are put down. ``first`` is a kind of
    place to search before the likely ones.

    Raises:
        EnvError: The observation lists no admissible actions, or none of them helps.
    """
    return _Choice(view, first).actions()[0]


def is_sound(view: View, action: str) -> bool:
    """Return whether ``action`` is as good as the expert's, judging by the history.

    Any likely place that was not searched yet, any object of the right kind and any suitable receptacle are equally
    good.

    Raises:
        EnvError: As for ``expert_action``.
    """
    return action in _Choice(view, None).actions()


class _Choice:
    """The choice of an action, given the history and the admissible actions.

    Methods return actions that are equally good judging by the history, the expert's own choice first.
    """

    def __init__(self, view: View, first: str | None) -> None:
        if not view.observation.admissible_actions:
            raise EnvError(
                f"{view.task.id}: the ALFWorld expert needs the admissible actions, but the observation lists none."
            )
        self._subtask: Subtask = read_subtask(view.task.instruction)
        self._memory: Memory = recall(view)
        self._admissible: tuple[str, ...] = view.observation.admissible_actions
        self._first = first

    def actions(self) -> list[str]:
        """Return the best actions; at least one."""
        subtask, held = self._subtask, self._memory.held
        if held is None:
            return self._fetch()
        if kind_of(held) != subtask.kind:
            return self._put_down()
        if subtask.treatment and subtask.treatment not in self._memory.treated.get(held, ()):
            return self._treat(held, subtask.treatment)
        if subtask.lamp:
            return self._light(subtask.lamp)
        return self._deliver()

    def _fetch(self) -> list[str]:
        """Take a target object, or go on searching."""
        delivered_to = next(iter(self._goal_places()), None) if self._subtask.count > 1 else None
        candidates = [
            (item, place)
            for item, place in self._memory.known_places(self._subtask.kind)
            if place != delivered_to and not self._is_gone(item, place)
        ]
        if not candidates:
            return self._search()
        ranked = sorted(candidates, key=lambda pair: self._fetch_rank(*pair))
        is_untreated = self._fetch_rank(*ranked[0])[0]
        return [
            self._at(place, f"take {item} from {place}")
            for item, place in ranked
            if self._fetch_rank(item, place)[0] == is_untreated
        ]

    def _fetch_rank(self, item: str, place: str) -> tuple[bool, bool, int, str]:
        treated = self._subtask.treatment in self._memory.treated.get(item, ())
        order = search_order(self._subtask.kind, self._memory.places)
        return (not treated, place not in self._memory.here, order.index(place), item)

    def _is_gone(self, item: str, place: str) -> bool:
        """Return whether ``item`` should be within reach but cannot be taken."""
        within_reach = place in self._memory.here and place not in self._memory.shut
        return within_reach and f"take {item} from {place}" not in self._admissible

    def _search(self) -> list[str]:
        memory, kind = self._memory, self._subtask.kind
        unchecked = [place for place in memory.places if place not in memory.contents]
        order = search_order(kind, unchecked, first=self._first)
        if not order:
            return [self._search_again()]
        # Places within reach come first, likely or not: this is quicker than walking to a likelier place, and a student
        # can learn the rule from what it sees.
        if within_reach := [place for place in order if place in memory.here]:
            return [self._at(place) for place in within_reach]
        likely = [place for place in order if is_likely(kind, place)]
        return [self._at(place) for place in (order[0], *(likely or order))]

    def _treat(self, held: str, treatment: str) -> list[str]:
        commands = [f"{treatment} {held} with {place}" for place in self._memory.here]
        return [command for command in commands if command in self._admissible] or self._walks(
            self._places_of(TREATMENTS[treatment])
        )

    def _search_again(self) -> str:
        """Open what is still closed and visit all places again, after a search without success."""
        for place in self._memory.here:
            if place in self._memory.shut:
                return self._at(place)
        return self._walks(self._memory.places)[0]

    def _light(self, lamp_kind: str) -> list[str]:
        memory = self._memory
        lamps = sorted(lamp for lamp in memory.lamps if kind_of(lamp) == lamp_kind)
        if usable := [f"use {lamp}" for lamp in lamps if f"use {lamp}" in self._admissible]:
            return usable
        if lamps:
            return [self._at(search_order(lamp_kind, memory.lamps[lamp])[0]) for lamp in lamps]
        unvisited = [place for place in memory.places if place not in memory.visits]
        order = search_order(lamp_kind, unvisited, first=self._first)
        return [self._at(place) for place in order] or self._walks(memory.places)[:1]

    def _deliver(self) -> list[str]:
        goal_places = self._goal_places()
        if not goal_places:
            raise EnvError(f"The task needs a {self._subtask.place!r}, but the room has only {self._memory.places}.")
        commands = self._put_commands()
        # The second of two objects must go where the first is.
        fitting = goal_places[:1] if self._subtask.count > 1 else goal_places
        return [self._at(place, commands.get(place, "")) for place in fitting]

    def _put_down(self) -> list[str]:
        """Put down an object that the task does not need."""
        memory = self._memory
        if commands := self._put_commands():
            return [commands[place] for place in sorted(commands, key=memory.places.index)]
        if memory.origin and (memory.origin not in memory.here or memory.origin in memory.shut):
            return [self._at(memory.origin)]
        return self._walks(memory.places)

    def _goal_places(self) -> list[str]:
        """Return the goal places, first the one with most target objects, then the quickest to use."""
        memory, subtask = self._memory, self._subtask

        def rank(place: str) -> tuple[int, bool, bool, int]:
            delivered = sum(kind_of(item) == subtask.kind for item in memory.contents.get(place, ()))
            is_open = place in memory.visits and place not in memory.shut
            return (-delivered, place not in memory.here, not is_open, _number(place))

        return sorted(self._places_of(subtask.place or ""), key=rank)

    def _places_of(self, kind: str) -> list[str]:
        return [place for place in self._memory.places if kind_of(place) == kind]

    def _put_commands(self) -> dict[str, str]:
        """Return the commands that put the held object down, by receptacle."""
        return {found["place"]: command for command in self._admissible if (found := _PUT.fullmatch(command))}

    def _walks(self, places: Iterable[str]) -> list[str]:
        """Return the commands that go to ``places``, the least recently visited first."""
        away = [place for place in places if f"go to {place}" in self._admissible]
        if not away:
            raise EnvError(f"The expert is stuck at {self._memory.here}: it cannot go to any of {sorted(places)}.")
        away.sort(key=lambda place: (self._memory.visits.get(place, -1), _number(place)))
        return [f"go to {place}" for place in away]

    def _at(self, place: str, command: str = "") -> str:
        """Return ``command`` if it is admissible, else the step that leads to it: opening ``place`` or going there."""
        for action in (command, f"open {place}", f"go to {place}"):
            if action in self._admissible:
                return action
        return self._walks(self._memory.places)[0]


def _number(place: str) -> int:
    return int(place.rpartition(" ")[2])
