"""Conjunctive queries over the facts of a world: which things satisfy these conditions together?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leap_exp.core.errors import DataError

if TYPE_CHECKING:
    from leap_exp.envs.alfworld.fast import World

Bindings = dict[str, int]
"""What each variable of a query or text stands for: the index of a receptacle, an object or a location."""

Facts = Callable[..., Iterable[tuple[int, ...]]]
"""``facts(world, *pattern)``: the tuples that hold and fit the pattern (None fits anything), in ascending order."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A predicate that texts and goals may ask about: the types of its arguments and its facts."""

    types: tuple[str, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Atom:
    """A relation applied to variables."""

    relation: Relation
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A conjunction of atoms, answered from left to right.

    ``types`` gives the type of every variable that may be bound. ``distinct`` asks that all variables of one type
    stand for different things, as TextWorld's queries do and PDDL's quantifiers do not; ``different`` asks it of pairs.
    """

    atoms: tuple[Atom, ...]
    types: Mapping[str, str]
    distinct: bool
    different: tuple[tuple[str, str], ...] = ()

    def solutions(self, world: World, bindings: Bindings) -> Iterator[Bindings]:
        """Every way to extend ``bindings`` so that all atoms hold; the leftmost atom varies slowest."""
        return self._extend(world, bindings, 0)

    def holds(self, world: World, bindings: Bindings) -> bool:
        """Whether there is a solution."""
        return next(self._extend(world, bindings, 0), None) is not None

    def _extend(self, world: World, bound: Bindings, depth: int) -> Iterator[Bindings]:
        if depth == len(self.atoms):
            yield bound
            return
        atom = self.atoms[depth]
        pattern = [bound.get(name) for name in atom.variables]
        is_check = None not in pattern
        for values in atom.relation.facts(world, *pattern):
            extended = bound if is_check else self._bind(atom.variables, values, bound)
            if extended is not None:
                yield from self._extend(world, extended, depth + 1)

    def _bind(self, names: Sequence[str], values: Sequence[int], bound: Bindings) -> Bindings | None:
        """``bound`` with ``names`` bound to ``values``, or None where that breaks a rule."""
        types = self.types
        extended = dict(bound)
        for name, value in zip(names, values, strict=True):
            if name in extended:
                if extended[name] != value:
                    return None
                continue
            if self.distinct and any(
                taken == value and types[other] == types[name] for other, taken in extended.items()
            ):
                return None
            extended[name] = value
        if any(first in extended and extended[first] == extended.get(second) for first, second in self.different):
            return None
        return extended


def relation(predicate: str, types: Sequence[str]) -> Relation:
    """The relation called ``predicate``; a DataError if the fast engine does not keep it for arguments of ``types``."""
    found = RELATIONS.get(predicate)
    if found is None or tuple(types) != found.types:
        raise DataError(
            f"The game asks about {predicate}({', '.join(types)}), which the fast engine does not keep; "
            f"use engine=textworld."
        )
    return found


def _flags(bits_of: Callable[[World], int]) -> Facts:
    """A property kept as a bit mask."""

    def facts(world: World, x: int | None) -> Iterable[tuple[int, ...]]:
        bits = bits_of(world)
        if x is None:
            return [(index,) for index in range(bits.bit_length()) if bits >> index & 1]
        return ((x,),) if bits >> x & 1 else ()

    return facts


def _columns(columns_of: Callable[[World], Sequence[Sequence[int]]]) -> Facts:
    """A pair relation kept as the ascending first elements of each second element."""

    def facts(world: World, x: int | None, y: int | None) -> Iterable[tuple[int, ...]]:
        columns = columns_of(world)
        if y is None:
            pairs = [(first, second) for second, column in enumerate(columns) for first in column]
            return sorted(pair for pair in pairs if x is None or pair[0] == x)
        if x is None:
            return [(first, y) for first in columns[y]]
        return ((x, y),) if x in columns[y] else ()

    return facts


def _of_agent(value_of: Callable[[World], int]) -> Facts:
    """The one thing (-1: none) that the agent, who has index 0, stands in a relation to."""

    def facts(world: World, _agent: int | None, y: int | None) -> Iterable[tuple[int, ...]]:
        value = value_of(world)
        return ((0, value),) if value >= 0 and y in (None, value) else ()

    return facts


def _never(_world: World, *_pattern: int | None) -> Iterable[tuple[int, ...]]:
    return ()


_THING, _PLACE, _SPOT, _AGENT = "object", "receptacle", "location", "agent"
_STATIC_FLAGS = (
    "isreceptacleobject", "cleanable", "heatable", "coolable", "pickupable", "moveable", "toggleable", "sliceable",
)  # fmt: skip


def _static(predicate: str) -> Facts:
    return _flags(lambda world: world.game.flags[predicate])


RELATIONS: Mapping[str, Relation] = {
    **{predicate: Relation((_THING,), _static(predicate)) for predicate in _STATIC_FLAGS},
    "openable": Relation((_PLACE,), _static("openable")),
    "opened": Relation((_PLACE,), _flags(lambda world: world.opened)),
    "isclean": Relation((_THING,), _flags(lambda world: world.clean)),
    "ishot": Relation((_THING,), _flags(lambda world: world.hot)),
    "iscool": Relation((_THING,), _flags(lambda world: world.cool)),
    "issliced": Relation((_THING,), _flags(lambda world: world.sliced)),
    "istoggled": Relation((_THING,), _flags(lambda world: world.toggled)),
    # Nothing ever undoes a toggle, so this negated fact, which only an undoing would record, never holds.
    "not_istoggled": Relation((_THING,), _never),
    "holdsany": Relation((_AGENT,), _flags(lambda world: int(world.held >= 0))),
    "holds": Relation((_AGENT, _THING), _of_agent(lambda world: world.held)),
    "atlocation": Relation((_AGENT, _SPOT), _of_agent(lambda world: world.location)),
    "receptacleatlocation": Relation((_PLACE, _SPOT), _columns(lambda world: world.game.receptacles_at)),
    "objectatlocation": Relation((_THING, _SPOT), _columns(lambda world: world.objects_at)),
    "inreceptacle": Relation((_THING, _PLACE), _columns(lambda world: world.contents)),
    "not_inreceptacle": Relation((_THING, _PLACE), _columns(lambda world: world.taken)),
    "inreceptacleobject": Relation((_THING, _THING), _columns(lambda world: world.game.inside)),
}
"""Every predicate that the fast engine keeps. ``not_p`` holds where an action has undone ``p``, as in TextWorld."""
