"""Shortest plans: the fewest commands that win a game from any of its states.

A winning sequence of commands is an itinerary of stops (take this here, heat it there, put it there), with walking
and opening in between. The six task types allow few kinds of itineraries, so that all that can be shortest are
compared outright; no search over states is needed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from leap_exp.envs.alfworld.fast import World
from leap_exp.envs.alfworld.game import Action

_TREATMENTS = {
    "clean": ("cleanobject", ("sinktype", "sinkbasintype")),
    "hot": ("heatobject", ("microwavetype",)),
    "cool": ("coolobject", ("fridgetype",)),
}


@dataclass(frozen=True, slots=True)
class _Stop:
    """Something to do at a receptacle, which has to be open for it if ``inside``; no action: just to be there."""

    receptacle: int
    inside: bool
    action: Action | None


def shortest_plan(world: World) -> tuple[Action, ...] | None:
    """The fewest actions that win the game from the state of ``world``; empty if it is won.

    None if it can no longer be won: a few official games have objects that no receptacle takes back once in hand.

    Costs count commands. Of several shortest plans it gives the one whose objects and receptacles have the lowest
    numbers, so that equal states give equal plans. ``world`` is left as it is.
    """
    if world.won:
        return ()
    planner = _Planner(world)
    best = min(planner.itineraries(), key=planner.cost, default=None)
    return None if best is None else planner.actions(best)


def plan_commands(world: World, plan: Iterable[Action]) -> list[str]:
    """The commands that carry out ``plan`` from the state of ``world``, which is left as it is."""
    world = world.copy()
    commands = []
    for action in plan:
        commands.append(next(command for command, admissible in world.admissible() if admissible == action))
        world.apply(action)
    return commands


class _Planner:
    """The itineraries from one state, and what they cost."""

    def __init__(self, world: World) -> None:
        game, goal = world.game, world.game.goal
        self._world = world
        self._places = sorted(game.receptacles, key=lambda place: _number(place.name))
        self._holders: dict[int, set[int]] = {}
        for place, contents in enumerate(world.contents):
            for thing in contents:
                self._holders.setdefault(thing, set()).add(place)
        things = sorted(game.objects, key=lambda thing: _number(thing.name))
        self._wanted = [thing.index for thing in things if thing.otype == goal.otype]
        self._lamps = [thing.index for thing in things if thing.otype == goal.lamp_otype and thing.toggleable]
        self._all_targets = [
            place.index
            for place in self._places
            if place.rtype == goal.rtype and (place.rtype, goal.otype) in game.can_contain
        ]
        stations = _TREATMENTS[goal.needs][1] if goal.needs else ()
        self._busy = {world.location} | {
            place.location
            for place in game.receptacles
            if place.rtype in stations or any(place.index in self._holders.get(thing, ()) for thing in self._wanted)
        }

    def itineraries(self) -> Iterator[tuple[_Stop, ...]]:
        """All itineraries that can be shortest."""
        goal = self._world.game.goal
        if self._lamps:
            return self._under_lamp()
        return self._in_pair() if goal.count > 1 else self._single()

    def cost(self, stops: tuple[_Stop, ...]) -> int:
        """The number of commands of an itinerary."""
        return len(self.actions(stops))

    def actions(self, stops: tuple[_Stop, ...]) -> tuple[Action, ...]:
        """The itinerary's actions with the walking and opening in between."""
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
        """One object to a receptacle of the target kind, with the property that the goal asks for."""
        targets = self._targets()
        if self._world.held in self._wanted:
            yield from self._finish((), self._world.held, self._holders.get(self._world.held, set()), targets)
        for thing, source in self._sources():
            stop = self._take(thing, source)
            for drop in self._drops(targets):
                yield from self._finish((*drop, stop), thing, self._holders[thing] - {source}, targets)

    def _finish(
        self, stops: tuple[_Stop, ...], thing: int, holders: set[int], targets: list[int]
    ) -> Iterator[tuple[_Stop, ...]]:
        """``stops``, after which ``thing`` is in hand, and what remains to be done with it."""
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
        # Some official games have an object in two receptacles: taken from one, it still counts as in the other.
        putting = [()] if holders.intersection(self._all_targets) else [(self._put(thing, place),) for place in targets]
        for treat in treating:
            for put in putting:
                yield (*stops, *treat, *put)

    def _in_pair(self) -> Iterator[tuple[_Stop, ...]]:
        """Two objects to one receptacle of the target kind."""
        targets, held = self._targets(), self._world.held
        for target in targets:
            delivered = {thing for thing in self._wanted if target in self._holders.get(thing, ())}
            sources = [pair for pair in self._sources() if pair[0] not in delivered]
            missing = 2 - len(delivered)
            if held in self._wanted and held not in delivered:
                first = self._put(held, target)
                rest = permutations(sources, missing - 1)
                yield from ((first, *self._carry(pairs, target)) for pairs in rest)
            else:
                for drop in self._drops(targets):
                    yield from ((*drop, *self._carry(pairs, target)) for pairs in permutations(sources, missing))

    def _carry(self, pairs: Iterable[tuple[int, int]], target: int) -> Iterator[_Stop]:
        for thing, source in pairs:
            yield self._take(thing, source)
            yield self._put(thing, target)

    def _under_lamp(self) -> Iterator[tuple[_Stop, ...]]:
        """An object in hand where a lamp has been switched on."""
        lit = self._world.toggled
        lamps = [
            _Stop(place, inside=False, action=None if lit >> lamp & 1 else Action("toggleobject", lamp))
            for lamp in self._lamps
            for place in sorted(self._holders.get(lamp, ()))
        ]
        if self._world.held in self._wanted:
            yield from ((lamp,) for lamp in lamps)
            return
        for thing, source in self._sources():
            for drop in self._drops([]):
                yield from ((*drop, self._take(thing, source), lamp) for lamp in lamps)

    def _sources(self) -> list[tuple[int, int]]:
        """Each wanted object that can be taken, with each receptacle that it can be taken from.

        Of objects that are alike (in the same receptacles, with the same property) the first two are enough.
        """
        alike: dict[tuple[frozenset[int], bool], int] = {}
        pairs = []
        for thing in self._wanted:
            holders = self._holders.get(thing, set())
            key = (frozenset(holders), self._is_treated(thing))
            alike[key] = alike.get(key, 0) + 1
            if alike[key] <= 2 and self._world.game.objects[thing].pickupable:
                pairs += [(thing, place) for place in sorted(holders)]
        return pairs

    def _targets(self) -> list[int]:
        """The receptacles to deliver to, less those for which another is as good."""
        return self._distinct(self._all_targets)

    def _drops(self, targets: Iterable[int]) -> Iterator[tuple[_Stop, ...]]:
        """The ways to empty the hands: nothing to do if they are, else putting down what they hold."""
        game, held = self._world.game, self._world.held
        if held < 0:
            yield ()
            return
        otype = game.objects[held].otype
        fitting = [place.index for place in self._places if (place.rtype, otype) in game.can_contain]
        kept = {*self._distinct(fitting), *targets}
        yield from ((self._put(held, place),) for place in fitting if place in kept)

    def _distinct(self, places: Iterable[int]) -> list[int]:
        """``places`` without those that are no different from another for any itinerary.

        A receptacle that holds nothing wanted, and stands where there is nothing else to do, differs from others like
        it only in whether it is open.
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

    def _put(self, thing: int, target: int) -> _Stop:
        return _Stop(target, inside=True, action=Action("putobject", thing, target))

    def _is_treated(self, thing: int) -> bool:
        needs = self._world.game.goal.needs
        return not needs or bool(getattr(self._world, needs) >> thing & 1)

    def _is_treatable(self, thing: int) -> bool:
        flag = {"clean": "cleanable", "hot": "heatable", "cool": "coolable"}[self._world.game.goal.needs]
        return bool(self._world.game.flags[flag] >> thing & 1)


def _number(name: str) -> int:
    return int(name.rpartition(" ")[2])
