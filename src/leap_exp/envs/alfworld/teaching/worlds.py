"""The households that are consistent with a history: where the objects that were not seen yet may be.

What varies is the place of each object of the wanted kind, and of each lamp where one is needed, that the history has
not shown. Everything else, the number of objects included, is as in the game. An object is at a place as likely as the
generator of built-in games puts it there, on its own: a kind of receptacle is drawn by weight, without the goal's kind
for wanted objects, and then one receptacle of that kind. A household is consistent if replaying the history there gives
the same texts and admissible commands.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from random import Random

from leap_exp.core.environments import ConsistentWorlds
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import View
from leap_exp.envs.alfworld.builtin.catalogue import OBJECT_KINDS
from leap_exp.envs.alfworld.engine.game import Game
from leap_exp.envs.alfworld.teaching.memory import recall, seen_names
from leap_exp.envs.alfworld.teaching.oracle import AlfworldOracle

_FOUND = {
    f"{name.lower()}type": {f"{place.lower()}type": weight for place, weight in kind.found.items()}
    for name, kind in OBJECT_KINDS.items()
}
"""By type of object, the weights of the types of receptacles where it is found."""


def consistent_worlds(game: Game, view: View, *, limit: int, seed: int) -> ConsistentWorlds:
    """Return the households that are consistent with the history of ``view``, a built-in ``game`` itself among them.

    If there may be more than ``limit``, so many are drawn by their probability.
    """
    hidden = _hidden(game, view)
    chances = [_chances(game, view, thing) for thing in hidden]
    is_exact = math.prod(map(len, chances)) <= limit
    places = product(*chances) if is_exact else _draws(chances, limit, seed=derive_seed(seed, "worlds", *view.scope))
    found: list[tuple[AlfworldOracle, float]] = []
    for at in places:
        oracle = AlfworldOracle(_moved(game, dict(zip(hidden, at, strict=True))))
        if oracle.fits(view):
            weight = math.prod(chance[place] for chance, place in zip(chances, at, strict=True)) if is_exact else 1.0
            found.append((oracle, weight))
    if not found:
        # No draw fits; the game itself always does.
        found = [(AlfworldOracle(game), 1.0)]
    total = sum(weight for _, weight in found)
    return ConsistentWorlds(
        oracles=tuple(oracle for oracle, _ in found),
        probabilities=tuple(weight / total for _, weight in found),
        is_exact=is_exact,
    )


def _hidden(game: Game, view: View) -> list[int]:
    """Return the objects that matter for the goal and that the history has not shown."""
    seen, goal = seen_names(view), game.goal
    return [
        thing.index
        for thing in game.objects
        if thing.otype in (goal.otype, goal.lamp_otype) and thing.name not in seen and _holder(game, thing.index) >= 0
    ]


def _holder(game: Game, thing: int) -> int:
    """Return the receptacle that holds an object at the start, or -1."""
    return next((place for place, contents in enumerate(game.start.contents) if thing in contents), -1)


def _chances(game: Game, view: View, thing: int) -> dict[int, float]:
    """Return how likely an object is in each receptacle that was not searched; these need not add up to 1."""
    otype = game.objects[thing].otype
    searched = recall(view).contents
    excluded = game.goal.rtype if otype == game.goal.otype else None
    counts: dict[str, int] = {}
    for place in game.receptacles:
        counts[place.rtype] = counts.get(place.rtype, 0) + 1
    weights = {
        place.index: _FOUND.get(otype, {}).get(place.rtype, 0) / counts[place.rtype]
        for place in game.receptacles
        if place.name not in searched and place.rtype != excluded
    }
    likely = {place: weight for place, weight in weights.items() if weight > 0.0}
    # Where an unusual history has touched all of them, the object is still where it is.
    return likely or {_holder(game, thing): 1.0}


def _draws(chances: Sequence[Mapping[int, float]], count: int, *, seed: int) -> Iterator[tuple[int, ...]]:
    rng = Random(seed)
    for _ in range(count):
        yield tuple(rng.choices(list(each), weights=list(each.values()))[0] for each in chances)


def _moved(game: Game, places: Mapping[int, int]) -> Game:
    """Return ``game`` with objects in other receptacles at the start."""
    contents = [set(column) for column in game.start.contents]
    objects_at = [set(column) for column in game.start.objects_at]
    for thing in places:
        former = _holder(game, thing)
        contents[former].discard(thing)
        objects_at[game.receptacles[former].location].discard(thing)
    for thing, place in places.items():
        contents[place].add(thing)
        objects_at[game.receptacles[place].location].add(thing)
    start = replace(
        game.start,
        contents=tuple(tuple(sorted(column)) for column in contents),
        objects_at=tuple(tuple(sorted(column)) for column in objects_at),
    )
    return replace(game, start=start)
