"""Conjunctive queries over a state: which receptacles, objects and locations satisfy all of these conditions?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.state import State

Scope = tuple[str, ...]
"""The variables that have values at some point of a text or goal; an empty name is a place without a variable."""

Row = tuple[int, ...]
"""The values of the variables of a scope, in its order: indices of receptacles, objects and locations."""

Facts = Callable[..., Iterable[Row]]
"""``facts(state, *pattern)`` returns the tuples that hold and match the pattern, ascending. None matches anything."""

Columns = Callable[[State], Sequence[Sequence[int]]]
"""Returns the ascending first elements of each second element of a binary relation."""

Solutions = Callable[[State, Row], Sequence[Row]]
"""Returns every extension of a row that satisfies a query, in order; the leftmost atom varies slowest."""

Condition = Callable[[State, Row], object]
"""Returns something true, in Python's sense, if a query has a solution."""

_Step = Callable[[State, Sequence[Row]], Sequence[Row]]
"""Returns the extensions of some rows that satisfy one atom."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A predicate that texts and goals can use.

    Attributes:
        types: The types of its arguments, one or two.
        facts: Its facts.
        columns: The ascending first elements of each second element, if it is stored like this; else None.
    """

    types: tuple[str, ...]
    facts: Facts
    columns: Columns | None = None


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

    def solutions(self, scope: Scope) -> tuple[Solutions, Scope]:
        """Return a function that finds the solutions for a row of ``scope``, and the scope of its results.

        Which variables have values is known before anything is played, so rows need no names.

        Raises:
            DataError: An atom has the same unknown variable twice.
        """
        steps: list[_Step] = []
        for atom in self.atoms:
            if all(name in scope for name in atom.variables):
                steps.append(_selecting(_check(atom, scope)))
            else:
                step, scope = self._extending(atom, scope)
                steps.append(step)

        def solutions(state: State, row: Row) -> Sequence[Row]:
            rows: Sequence[Row] = (row,)
            for step in steps:
                rows = step(state, rows)
                if not rows:
                    break
            return rows

        return solutions, scope

    def condition(self, scope: Scope) -> Condition:
        """Return a condition that tells whether there is a solution for a row of ``scope``."""
        if not self.atoms or any(name not in scope for atom in self.atoms for name in atom.variables):
            solutions, _ = self.solutions(scope)
            return solutions
        condition, *others = [_check(atom, scope) for atom in self.atoms]
        for other in others:
            condition = _both(condition, other)
        return condition

    def _extending(self, atom: Atom, scope: Scope) -> tuple[_Step, Scope]:
        """Return a step that finds values for the unknown variables of ``atom``, and the scope of its results."""
        places = [scope.index(name) if name in scope else None for name in atom.variables]
        new = [index for index, place in enumerate(places) if place is None]
        names = [atom.variables[index] for index in new]
        if len(set(names)) < len(names):
            raise DataError(f"The game uses a condition on {names[0]!r} twice, which only engine=textworld supports.")
        extended = (*scope, *names)
        unequal = self._unequal(extended, len(scope))
        facts, columns = atom.relation.facts, atom.relation.columns
        if columns and places[0] is None and places[1] is not None and not unequal:
            return _appending(columns, places[1]), extended

        def extend(state: State, rows: Sequence[Row]) -> Sequence[Row]:
            found = []
            for row in rows:
                pattern = [None if place is None else row[place] for place in places]
                for values in facts(state, *pattern):
                    longer = row + (values if len(new) == len(values) else (values[new[0]],))
                    if not unequal or all(longer[first] != longer[second] for first, second in unequal):
                        found.append(longer)
            return found

        return extend, extended

    def _unequal(self, scope: Scope, known: int) -> list[tuple[int, int]]:
        """Return the pairs of places that must differ and of which the second is not among the first ``known``."""
        types = self.types
        return [
            (first, second)
            for second in range(known, len(scope))
            for first in range(second)
            if (scope[first], scope[second]) in self.different
            or (scope[second], scope[first]) in self.different
            or (self.distinct and scope[first] and types[scope[first]] == types[scope[second]])
        ]


def _check(atom: Atom, scope: Scope) -> Condition:
    """Return the condition that ``atom``, of which all variables are known, holds."""
    facts, (first, *others) = atom.relation.facts, [scope.index(name) for name in atom.variables]
    if not others:
        return lambda state, row: facts(state, row[first])
    (second,) = others
    return lambda state, row: facts(state, row[first], row[second])


def _both(first: Condition, second: Condition) -> Condition:
    return lambda state, row: first(state, row) and second(state, row)


def _appending(columns: Columns, place: int) -> _Step:
    """Return a step that appends each first element of a relation whose second element is at ``place``."""
    return lambda state, rows: [(*row, first) for row in rows for first in columns(state)[row[place]]]


def _selecting(check: Condition) -> _Step:
    return lambda state, rows: [row for row in rows if check(state, row)]


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

    def facts(state: State, x: int | None) -> Iterable[Row]:
        bits = bits_of(state)
        if x is None:
            return [(index,) for index in range(bits.bit_length()) if bits >> index & 1]
        return ((x,),) if bits >> x & 1 else ()

    return facts


def _stored_by_second(first: str, second: str, columns_of: Columns) -> Relation:
    """A binary relation that is stored as the first elements of each second element."""

    def facts(state: State, x: int | None, y: int | None) -> Iterable[Row]:
        columns = columns_of(state)
        if y is not None:
            return [(each, y) for each in columns[y] if x in (None, each)]
        if x is not None:
            return [(x, index) for index, column in enumerate(columns) if x in column]
        return sorted((each, index) for index, column in enumerate(columns) for each in column)

    return Relation((first, second), facts, columns_of)


def _of_agent(value_of: Callable[[State], int]) -> Facts:
    """A relation between the agent, whose index is 0, and at most one thing (-1: none)."""

    def facts(state: State, _agent: int | None, y: int | None) -> Iterable[Row]:
        value = value_of(state)
        return ((0, value),) if value >= 0 and y in (None, value) else ()

    return facts


def _never(_state: State, *_pattern: int | None) -> Iterable[Row]:
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
    "receptacleatlocation": _stored_by_second(_RECEPTACLE, _LOCATION, lambda state: state.game.receptacles_at),
    "objectatlocation": _stored_by_second(_OBJECT, _LOCATION, lambda state: state.objects_at),
    "inreceptacle": _stored_by_second(_OBJECT, _RECEPTACLE, lambda state: state.contents),
    "not_inreceptacle": _stored_by_second(_OBJECT, _RECEPTACLE, lambda state: state.taken),
    "inreceptacleobject": _stored_by_second(_OBJECT, _OBJECT, lambda state: state.game.inside),
}
"""Every predicate that the fast engine supports. As in TextWorld, ``not_p`` holds where an action has undone ``p``."""
