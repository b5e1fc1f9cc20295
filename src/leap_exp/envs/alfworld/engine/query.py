"""Conjunctive queries over a state: which receptacles, objects and locations satisfy all of these conditions?"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.state import State

Bindings = dict[str, int]
"""The index of the receptacle, object or location that each variable is bound to."""

Facts = Callable[..., Iterable[tuple[int, ...]]]
"""``facts(state, *pattern)`` returns the tuples that hold and match the pattern, ascending. None matches anything."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A predicate that texts and goals can use: the types of its arguments and its facts."""

    types: tuple[str, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Atom:
    """A relation applied to variables."""

    relation: Relation
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A conjunction of atoms, evaluated from left to right.

    Attributes:
        atoms: The conditions.
        types: The type of every variable that can be bound.
        distinct: Whether all variables of one type must be bound to different things, as in TextWorld's queries but
            not in PDDL's quantifiers.
        different: Pairs of variables that must be bound to different things.
    """

    atoms: tuple[Atom, ...]
    types: Mapping[str, str]
    distinct: bool
    different: tuple[tuple[str, str], ...] = ()

    def solutions(self, state: State, bindings: Bindings) -> Iterator[Bindings]:
        """Yield every extension of ``bindings`` that satisfies all atoms; the leftmost atom varies slowest."""
        return self._extend(state, bindings, 0)

    def holds(self, state: State, bindings: Bindings) -> bool:
        """Return whether there is a solution."""
        return next(self._extend(state, bindings, 0), None) is not None

    def _extend(self, state: State, bound: Bindings, depth: int) -> Iterator[Bindings]:
        if depth == len(self.atoms):
            yield bound
            return
        atom = self.atoms[depth]
        pattern = [bound.get(name) for name in atom.variables]
        is_check = None not in pattern
        for values in atom.relation.facts(state, *pattern):
            extended = bound if is_check else self._bind(atom.variables, values, bound)
            if extended is not None:
                yield from self._extend(state, extended, depth + 1)

    def _bind(self, names: Sequence[str], values: Sequence[int], bound: Bindings) -> Bindings | None:
        """Return ``bound`` with ``names`` bound to ``values``, or None if a rule forbids it."""
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
    """Return the relation named ``predicate``.

    Raises:
        DataError: The fast engine has no such relation for arguments of ``types``.
    """
    found = RELATIONS.get(predicate)
    if found is None or tuple(types) != found.types:
        raise DataError(
            f"The game uses {predicate}({', '.join(types)}), which the fast engine does not support; "
            f"use engine=textworld."
        )
    return found


def _flags(bits_of: Callable[[State], int]) -> Facts:
    """A property stored as a bit mask."""

    def facts(state: State, x: int | None) -> Iterable[tuple[int, ...]]:
        bits = bits_of(state)
        if x is None:
            return [(index,) for index in range(bits.bit_length()) if bits >> index & 1]
        return ((x,),) if bits >> x & 1 else ()

    return facts


def _columns(columns_of: Callable[[State], Sequence[Sequence[int]]]) -> Facts:
    """A binary relation stored as the ascending first elements of each second element."""

    def facts(state: State, x: int | None, y: int | None) -> Iterable[tuple[int, ...]]:
        columns = columns_of(state)
        if y is None:
            pairs = [(first, second) for second, column in enumerate(columns) for first in column]
            return sorted(pair for pair in pairs if x is None or pair[0] == x)
        if x is None:
            return [(first, y) for first in columns[y]]
        return ((x, y),) if x in columns[y] else ()

    return facts


def _of_agent(value_of: Callable[[State], int]) -> Facts:
    """A relation between the agent, whose index is 0, and at most one thing (-1: none)."""

    def facts(state: State, _agent: int | None, y: int | None) -> Iterable[tuple[int, ...]]:
        value = value_of(state)
        return ((0, value),) if value >= 0 and y in (None, value) else ()

    return facts


def _never(_state: State, *_pattern: int | None) -> Iterable[tuple[int, ...]]:
    return ()


_OBJECT, _RECEPTACLE, _LOCATION, _AGENT = "object", "receptacle", "location", "agent"
_STATIC_FLAGS = (
    "isreceptacleobject", "cleanable", "heatable", "coolable", "pickupable", "moveable", "toggleable", "sliceable",
)  # fmt: skip


def _static(predicate: str) -> Facts:
    return _flags(lambda state: state.game.flags[predicate])


RELATIONS: Mapping[str, Relation] = {
    **{predicate: Relation((_OBJECT,), _static(predicate)) for predicate in _STATIC_FLAGS},
    "openable": Relation((_RECEPTACLE,), _static("openable")),
    "opened": Relation((_RECEPTACLE,), _flags(lambda state: state.opened)),
    "isclean": Relation((_OBJECT,), _flags(lambda state: state.clean)),
    "ishot": Relation((_OBJECT,), _flags(lambda state: state.hot)),
    "iscool": Relation((_OBJECT,), _flags(lambda state: state.cool)),
    "issliced": Relation((_OBJECT,), _flags(lambda state: state.sliced)),
    "istoggled": Relation((_OBJECT,), _flags(lambda state: state.toggled)),
    # No action turns anything off, so this never holds.
    "not_istoggled": Relation((_OBJECT,), _never),
    "holdsany": Relation((_AGENT,), _flags(lambda state: int(state.held >= 0))),
    "holds": Relation((_AGENT, _OBJECT), _of_agent(lambda state: state.held)),
    "atlocation": Relation((_AGENT, _LOCATION), _of_agent(lambda state: state.location)),
    "receptacleatlocation": Relation((_RECEPTACLE, _LOCATION), _columns(lambda state: state.game.receptacles_at)),
    "objectatlocation": Relation((_OBJECT, _LOCATION), _columns(lambda state: state.objects_at)),
    "inreceptacle": Relation((_OBJECT, _RECEPTACLE), _columns(lambda state: state.contents)),
    "not_inreceptacle": Relation((_OBJECT, _RECEPTACLE), _columns(lambda state: state.taken)),
    "inreceptacleobject": Relation((_OBJECT, _OBJECT), _columns(lambda state: state.game.inside)),
}
"""Every predicate that the fast engine supports. As in TextWorld, ``not_p`` holds where an action has undone ``p``."""
