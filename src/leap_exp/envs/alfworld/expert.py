"""An expert that knows only its history: it looks where things are usually kept and remembers what it saw."""

import re
from collections.abc import Iterable

from leap_exp.core.errors import EnvError
from leap_exp.core.types import View
from leap_exp.envs.alfworld.errand import TREATMENTS, Errand, read_errand
from leap_exp.envs.alfworld.habits import is_usual, search_order
from leap_exp.envs.alfworld.memory import Memory, kind_of, recall

_PUT = re.compile(r"(?:move|put) [a-z]+ \d+ (?:to|in|on|in/on) (?P<place>[a-z]+ \d+)")


def expert_action(view: View, *, first: str | None = None) -> str:
    """The next action towards the task in ``view``; always one of its admissible actions.

    From any history it goes on to solve the task: it repeats no search and puts down what is of no use. ``first`` is a
    kind of place to search before the usual ones.

    Raises:
        EnvError: The observation lists no admissible actions, or none that leads anywhere.
    """
    return _Turn(view, first).ways()[0]


def is_sound(view: View, action: str) -> bool:
    """Whether ``action`` is as good as the expert's, as far as the history of ``view`` tells.

    To search the one or the other likely place that has not been looked into, to take the one or the other object of
    the wanted kind, or to bring it to the one or the other receptacle that will do, is a matter of taste.

    Raises:
        EnvError: As for ``expert_action``.
    """
    return action in _Turn(view, None).ways()


class _Turn:
    """One decision: what is remembered, what is asked for and what is on offer.

    Its methods return actions that are equally good as far as the history tells, the expert's choice first.
    """

    def __init__(self, view: View, first: str | None) -> None:
        if not view.observation.admissible_actions:
            raise EnvError(
                f"{view.task.id}: the ALFWorld expert needs the list of admissible actions, and there is none."
            )
        self._errand: Errand = read_errand(view.task.instruction)
        self._memory: Memory = recall(view)
        self._offers: tuple[str, ...] = view.observation.admissible_actions
        self._first = first

    def ways(self) -> list[str]:
        """The actions that serve the task now; at least one."""
        errand, held = self._errand, self._memory.held
        if held is None:
            return self._fetch()
        if kind_of(held) != errand.kind:
            return self._put_down()
        if errand.treatment and errand.treatment not in self._memory.treated.get(held, ()):
            return self._treat(held, errand.treatment)
        if errand.lamp:
            return self._light(errand.lamp)
        return self._deliver()

    def _fetch(self) -> list[str]:
        """Take a wanted object, or go on looking for one."""
        delivered_to = next(iter(self._targets()), None) if self._errand.count > 1 else None
        candidates = [
            (item, place)
            for item, place in self._memory.known_places(self._errand.kind)
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
        treated = self._errand.treatment in self._memory.treated.get(item, ())
        order = search_order(self._errand.kind, self._memory.places)
        return (not treated, place not in self._memory.here, order.index(place), item)

    def _is_gone(self, item: str, place: str) -> bool:
        """Whether ``item`` should be within reach but is not: then it cannot be taken."""
        within_reach = place in self._memory.here and place not in self._memory.shut
        return within_reach and f"take {item} from {place}" not in self._offers

    def _search(self) -> list[str]:
        memory, kind = self._memory, self._errand.kind
        unchecked = [place for place in memory.places if place not in memory.contents]
        order = search_order(kind, unchecked, first=self._first)
        if not order:
            return [self._search_again()]
        # What is within reach is looked into first, likely or not: quicker than walking to a likelier place, and a
        # student can learn the rule from what it sees.
        if within_reach := [place for place in order if place in memory.here]:
            return [self._at(place) for place in within_reach]
        likely = [place for place in order if is_usual(kind, place)]
        return [self._at(place) for place in (order[0], *(likely or order))]

    def _treat(self, held: str, treatment: str) -> list[str]:
        commands = [f"{treatment} {held} with {place}" for place in self._memory.here]
        return [command for command in commands if command in self._offers] or self._walks(
            self._places_of(TREATMENTS[treatment])
        )

    def _search_again(self) -> str:
        """All has been searched in vain: open what was left closed, and go round once more."""
        for place in self._memory.here:
            if place in self._memory.shut:
                return self._at(place)
        return self._walks(self._memory.places)[0]

    def _light(self, lamp_kind: str) -> list[str]:
        memory = self._memory
        lamps = sorted(lamp for lamp in memory.lamps if kind_of(lamp) == lamp_kind)
        if usable := [f"use {lamp}" for lamp in lamps if f"use {lamp}" in self._offers]:
            return usable
        if lamps:
            return [self._at(search_order(lamp_kind, memory.lamps[lamp])[0]) for lamp in lamps]
        unvisited = [place for place in memory.places if place not in memory.visits]
        order = search_order(lamp_kind, unvisited, first=self._first)
        return [self._at(place) for place in order] or self._walks(memory.places)[:1]

    def _deliver(self) -> list[str]:
        targets = self._targets()
        if not targets:
            raise EnvError(f"There is no {self._errand.place!r} among the receptacles {self._memory.places}.")
        offers = self._put_offers()
        # The second of two objects has to join the first.
        fitting = targets[:1] if self._errand.count > 1 else targets
        return [self._at(target, offers.get(target, "")) for target in fitting]

    def _put_down(self) -> list[str]:
        """Get rid of an object that the task does not need."""
        memory = self._memory
        if offers := self._put_offers():
            return [offers[place] for place in sorted(offers, key=memory.places.index)]
        if memory.origin and (memory.origin not in memory.here or memory.origin in memory.shut):
            return [self._at(memory.origin)]
        return self._walks(memory.places)

    def _targets(self) -> list[str]:
        """The receptacles to deliver to: the one with the most delivered, then the quickest to use."""
        memory, errand = self._memory, self._errand

        def rank(place: str) -> tuple[int, bool, bool, int]:
            delivered = sum(kind_of(item) == errand.kind for item in memory.contents.get(place, ()))
            is_open = place in memory.visits and place not in memory.shut
            return (-delivered, place not in memory.here, not is_open, _number(place))

        return sorted(self._places_of(errand.place or ""), key=rank)

    def _places_of(self, kind: str) -> list[str]:
        return [place for place in self._memory.places if kind_of(place) == kind]

    def _put_offers(self) -> dict[str, str]:
        """The commands that put the held object down, by receptacle."""
        return {found["place"]: command for command in self._offers if (found := _PUT.fullmatch(command))}

    def _walks(self, places: Iterable[str]) -> list[str]:
        """The ways to ``places``, first to where the agent has not been for longest."""
        away = [place for place in places if f"go to {place}" in self._offers]
        if not away:
            raise EnvError(f"Stuck at {self._memory.here}: none of {sorted(places)} can be reached from there.")
        away.sort(key=lambda place: (self._memory.visits.get(place, -1), _number(place)))
        return [f"go to {place}" for place in away]

    def _at(self, place: str, command: str = "") -> str:
        """``command`` if it can be given now, else the step that leads to it: opening ``place`` or going there."""
        for action in (command, f"open {place}", f"go to {place}"):
            if action in self._offers:
                return action
        return self._walks(self._memory.places)[0]


def _number(place: str) -> int:
    return int(place.rpartition(" ")[2])
