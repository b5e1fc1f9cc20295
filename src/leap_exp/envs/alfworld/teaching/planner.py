"""Planner: the fewest commands that win a game from any state.

A winning sequence of commands is an itinerary of stops (take this here, heat it there, put it there) with walking and
opening in between. The six task types allow few itineraries, so the planner compares the cost of all that can be
shortest instead of searching over states.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import Action

_TREATMENTS = {
    "clean": ("cleanobject", ("sinktype", "sinkbasintype")),
    "hot": ("heatobject", ("microwavetype",)),
    "cool": ("coolobject", ("fridgetype",)),
}


@dataclass(frozen=True, slots=True)
class _Stop:
    """An action at a receptacle, which must be open if ``inside``; None if the agent only has to be there."""

    receptacle: int
    inside: bool
    action: Action | None


def shortest_plan(world: World) -> tuple[Action, ...] | None:
    """Return the fewest actions that win the game from the state of ``world``; empty if it is won.

    None if it can no longer be won: in a few official games no receptacle accepts an object that was taken. Or
    things must be sliced, which is not planned here. Of several shortest plans the one with the lowest numbers of
    objects and receptacles is returned, so equal states give equal plans.
    """
    if world.won:
        return ()
    if world.game.goal.sliced:
        return None
    planner = _Planner(world)
    best = min(planner.itineraries(), key=planner.cost, default=None)
    return None if best is None else planner.actions(best)


def plan_commands(world: World, plan: Iterable[Action]) -> list[str]:
    """Return the commands for the actions of ``plan`` from the state of ``world``."""
    world = world.copy()
    commands = []
    for action in plan:
        commands.append(next(command for command, admissible in world.admissible() if admissible == action))
        world.apply(action)
    return commands


class _Planner:
    """The itineraries from one state and their costs."""

    def __init__(self, world: World) -> None:
        game, goal = world.game, world.game.goal
        self._world = world
        self._places = sorted(game.receptacles, key=lambda place: _number(place.name))
        self._holders: dict[int, set[int]] = {}
        for place, contents in enumerate(world.contents):
            for thing in contents:
                self._holders.setdefault(thing, set()).add(place)
        things = sorted(game.objects, key=lambda thing: _number(thing.name))
        toggleable = game.flags["toggleable"]
        self._targets = [thing.index for thing in things if thing.otype == goal.otype]
        self._lamps = [
            thing.index for thing in things if thing.otype == goal.lamp_otype and toggleable >> thing.index & 1
        ]
        self._all_goal_places = [
            place.index
            for place in self._places
            if place.rtype == goal.rtype and (place.rtype, goal.otype) in game.can_contain
        ]
        stations = _TREATMENTS[goal.needs][1] if goal.needs else ()
        self._busy = {world.location} | {
            place.location
            for place in game.receptacles
            if place.rtype in stations or any(place.index in self._holders.get(thing, ()) for thing in self._targets)
        }

    def itineraries(self) -> Iterator[tuple[_Stop, ...]]:
        """Yield all itineraries that can be shortest."""
        goal = self._world.game.goal
        if self._lamps:
            return self._under_lamp()
        return self._in_pair() if goal.count > 1 else self._single()

    def cost(self, stops: tuple[_Stop, ...]) -> int:
        """Return the number of commands of an itinerary."""
        return len(self.actions(stops))

    def actions(self, stops: tuple[_Stop, ...]) -> tuple[Action, ...]:
        """Return the actions of an itinerary, with walking and opening."""
        location, opened = self._world.location, self._world.opened
        actions = []
        for stop in stops:
            place = self._world.game.receptacles[stop.receptacle]
            if place.location != location:
                location = place.location
                actions.append(Action("gotolocation", receptacle=place.index))
            if stop.inside and place.openable and not opened >> place.index & 1:
                opened |= 1 << place.index
                actions.append(Action("openobject", receptacle=place.index))
            if stop.action:
                actions.append(stop.action)
        return tuple(actions)

    def _single(self) -> Iterator[tuple[_Stop, ...]]:
        """Yield itineraries that bring one object, with the required property, to a goal place."""
        goal_places = self._goal_places()
        if self._world.held in self._targets:
            yield from self._finish((), self._world.held, self._holders.get(self._world.held, set()), goal_places)
        for thing, source in self._sources():
            stop = self._take(thing, source)
            for drop in self._drops(goal_places):
                yield from self._finish((*drop, stop), thing, self._holders[thing] - {source}, goal_places)

    def _finish(
        self, stops: tuple[_Stop, ...], thing: int, holders: set[int], goal_places: list[int]
    ) -> Iterator[tuple[_Stop, ...]]:
        """Yield ``stops``, after which ``thing`` is held, with what remains to be done."""
        game = self._world.game
        treating: list[tuple[_Stop, ...]] = [()]
        if not self._is_treated(thing):
            action, rtypes = _TREATMENTS[game.goal.needs]
            if not self._is_treatable(thing):
                return
            treating = [
                (_Stop(place.index, inside=False, action=Action(action, thing, place.index)),)
                for place in self._places
                if place.rtype in rtypes
            ]
        # In some official games an object is in two receptacles: taken from one, it is still in the other.
        putting = (
            [()]
            if holders.intersection(self._all_goal_places)
            else [(self._put(thing, place),) for place in goal_places]
        )
        for treat in treating:
            for put in putting:
                yield (*stops, *treat, *put)

    def _in_pair(self) -> Iterator[tuple[_Stop, ...]]:
        """Yield itineraries that bring two objects to one goal place."""
        goal_places, held = self._goal_places(), self._world.held
        for goal_place in goal_places:
            delivered = {thing for thing in self._targets if goal_place in self._holders.get(thing, ())}
            sources = [pair for pair in self._sources() if pair[0] not in delivered]
            missing = 2 - len(delivered)
            if held in self._targets and held not in delivered:
                first = self._put(held, goal_place)
                rest = permutations(sources, missing - 1)
                yield from ((first, *self._carry(pairs, goal_place)) for pairs in rest)
            else:
                for drop in self._drops(goal_places):
                    yield from ((*drop, *self._carry(pairs, goal_place)) for pairs in permutations(sources, missing))

    def _carry(self, pairs: Iterable[tuple[int, int]], goal_place: int) -> Iterator[_Stop]:
        for thing, source in pairs:
            yield self._take(thing, source)
            yield self._put(thing, goal_place)

    def _under_lamp(self) -> Iterator[tuple[_Stop, ...]]:
        """Yield itineraries that end with a target object in hand at a lamp that is on."""
        lit = self._world.toggled
        lamps = [
            _Stop(place, inside=False, action=None if lit >> lamp & 1 else Action("toggleobject", lamp))
            for lamp in self._lamps
            for place in sorted(self._holders.get(lamp, ()))
        ]
        if self._world.held in self._targets:
            yield from ((lamp,) for lamp in lamps)
            return
        for thing, source in self._sources():
            for drop in self._drops([]):
                yield from ((*drop, self._take(thing, source), lamp) for lamp in lamps)

    def _sources(self) -> list[tuple[int, int]]:
        """Return each target object that can be taken, with each receptacle that it can be taken from.

        Of interchangeable objects (in the same receptacles, equally treated) the first two are enough.
        """
        alike: dict[tuple[frozenset[int], bool], int] = {}
        pairs = []
        pickupable = self._world.game.flags["pickupable"]
        for thing in self._targets:
            holders = self._holders.get(thing, set())
            key = (frozenset(holders), self._is_treated(thing))
            alike[key] = alike.get(key, 0) + 1
            if alike[key] <= 2 and pickupable >> thing & 1:
                pairs += [(thing, place) for place in sorted(holders)]
        return pairs

    def _goal_places(self) -> list[int]:
        """Return the goal places, without those that are interchangeable with another."""
        return self._distinct(self._all_goal_places)

    def _drops(self, goal_places: Iterable[int]) -> Iterator[tuple[_Stop, ...]]:
        """Yield the ways to empty the hands: nothing if they are empty, else putting down the held object."""
        game, held = self._world.game, self._world.held
        if held < 0:
            yield ()
            return
        otype = game.objects[held].otype
        fitting = [place.index for place in self._places if (place.rtype, otype) in game.can_contain]
        kept = {*self._distinct(fitting), *goal_places}
        yield from ((self._put(held, place),) for place in fitting if place in kept)

    def _distinct(self, places: Iterable[int]) -> list[int]:
        """Return ``places`` without those that are interchangeable with an earlier one in every itinerary.

        Receptacles at locations where there is nothing else to do differ only in whether they are open.
        """
        kept, seen = [], set()
        for place in places:
            is_open = self._world.accessible(place)
            if self._world.game.receptacles[place].location in self._busy:
                kept.append(place)
            elif is_open not in seen:
                seen.add(is_open)
                kept.append(place)
        return kept

    def _take(self, thing: int, source: int) -> _Stop:
        return _Stop(source, inside=True, action=Action("pickupobject", thing, source))

    def _put(self, thing: int, goal_place: int) -> _Stop:
        return _Stop(goal_place, inside=True, action=Action("putobject", thing, goal_place))

    def _is_treated(self, thing: int) -> bool:
        needs = self._world.game.goal.needs
        return not needs or bool(getattr(self._world, needs) >> thing & 1)

    def _is_treatable(self, thing: int) -> bool:
        flag = {"clean": "cleanable", "hot": "heatable", "cool": "coolable"}[self._world.game.goal.needs]
        return bool(self._world.game.flags[flag] >> thing & 1)


def _number(name: str) -> int:
    return int(name.rpartition(" ")[2])
