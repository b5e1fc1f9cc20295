"""The goal of a game: its PDDL formula compiled to queries, and a summary of what must be achieved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.domain import CHANGES
from leap_exp.envs.alfworld.engine.pddl import Expression, flat_list, parse_expression, typed_names
from leap_exp.envs.alfworld.engine.query import Atom, Condition, Query, Relation, Row, relation
from leap_exp.envs.alfworld.engine.state import State

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""The six task types, in ALFWorld's order."""

_CHANGED = {
    "clean": "pick_clean_then_place_in_recep",
    "hot": "pick_heat_then_place_in_recep",
    "cool": "pick_cool_then_place_in_recep",
}
_PROPERTY_FACTS = {"isclean": "clean", "ishot": "hot", "iscool": "cool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalCondition:
    """What wins a game.

    Attributes:
        task_type: One of ``TASK_TYPES``.
        otype: Type of the target objects in the game file, such as "mugtype".
        rtype: Type of the receptacle that they must be in; empty for look_at_obj_in_light.
        lamp_otype: Type of the lamp that must be on where the object is held; empty for other task types.
        needs: The property that the objects must have: "clean", "hot", "cool" or "".
        count: How many target objects are needed.
        sliced: Whether they must be sliced.
        deciding_actions: Names of the actions that can change whether the goal is reached.
        parts: Conditions that must all hold.
    """

    task_type: str
    otype: str
    rtype: str
    lamp_otype: str
    needs: str
    count: int
    sliced: bool
    deciding_actions: frozenset[str]
    parts: tuple[Condition, ...]

    @property
    def object_kind(self) -> str:
        """The target objects' kind as players see it, such as "mug"."""
        return self.otype.removesuffix("type")

    @property
    def receptacle_kind(self) -> str:
        """The target receptacle's kind as players see it; empty if there is none."""
        return self.rtype.removesuffix("type")

    @property
    def lamp_kind(self) -> str:
        """The lamp's kind as players see it; empty if there is none."""
        return self.lamp_otype.removesuffix("type")

    def satisfied(self, state: State) -> bool:
        """Return whether ``state`` is a winning state."""
        return all(part(state, ()) for part in self.parts)


@dataclass
class _Formula:
    """A flat conjunction: the types of its variables, its facts, and the pairs of variables that must differ."""

    types: dict[str, str]
    facts: list[tuple[str, tuple[str, ...]]]
    different: list[tuple[str, str]]


@lru_cache(maxsize=1024)
def read_goal(text: str) -> GoalCondition:
    """Compile a goal formula of conjunctions, "exists", facts and inequalities. Games with equal goals share it.

    Raises:
        DataError: The formula has other parts, or belongs to none of the six task types.
    """
    formula = _Formula({}, [], [])
    _flatten(parse_expression(text), formula, {})
    parts = tuple(_query(component, formula) for component in _components(formula))
    return _summary(formula, parts)


def _flatten(expression: Expression, formula: _Formula, scope: Mapping[str, str]) -> None:
    """Add ``expression`` to ``formula``; ``scope`` maps its variables to unique names."""
    match expression:
        case ["and", *parts]:
            for part in parts:
                _flatten(part, formula, scope)
        case ["exists", variables, body]:
            inner = dict(scope)
            for name, kind in typed_names(flat_list(variables)).items():
                inner[name] = f"{name}.{len(formula.types)}"
                formula.types[inner[name]] = kind
            _flatten(body, formula, inner)
        case ["not", ["=", str(first), str(second)]]:
            formula.different.append((scope.get(first, first), scope.get(second, second)))
        case [str(predicate), *arguments] if predicate not in ("or", "not", "forall", "imply", "="):
            names = [str(argument) for argument in arguments]
            formula.facts.append((predicate, tuple(scope.get(name, name) for name in names)))
        case _:
            raise DataError(
                f"The goal of the game has a part that the fast engine does not support: {expression!r}; "
                f"use engine=textworld."
            )


def _components(formula: _Formula) -> list[list[str]]:
    """Group the variables so that no fact links two groups. Each group becomes a separate query."""
    groups = [{name} for name in formula.types]
    links = [tuple(name for name in arguments if name in formula.types) for _, arguments in formula.facts]
    for link in [*links, *formula.different]:
        touched = [group for group in groups if group & set(link)]
        groups = [group for group in groups if not group & set(link)]
        if touched:
            groups.append(set().union(*touched))
    return [sorted(group) for group in groups]


def _query(component: Sequence[str], formula: _Formula) -> Condition:
    # Types come first, because few things have the same.
    types, atoms = [], []
    for predicate, arguments in formula.facts:
        if arguments[0] not in component:
            continue
        if predicate in ("objecttype", "receptacletype"):
            types.append(_type_atom(arguments[0], formula.types, (predicate, arguments[1])))
        else:
            atoms.append(Atom(relation(predicate, [formula.types.get(name, name) for name in arguments]), arguments))
    different = tuple(pair for pair in formula.different if pair[0] in component)
    return Query(tuple(_ordered([*types, *atoms])), formula.types, distinct=False, different=different).condition(())


def _type_atom(variable: str, types: Mapping[str, str], wanted: tuple[str, str]) -> Atom:
    def facts(state: State, x: int | None) -> Iterable[Row]:
        members = state.game.members.get(wanted, ())
        if x is None:
            return [(index,) for index in members]
        return ((x,),) if x in members else ()

    return Atom(Relation((types[variable],), facts), (variable,))


def _ordered(atoms: Sequence[Atom]) -> list[Atom]:
    """Sort the atoms so that as many variables as possible are bound when an atom is evaluated."""
    waiting, bound = list(atoms), set[str]()
    ordered = []
    while waiting:
        best = min(waiting, key=lambda atom: (len(set(atom.variables) - bound), -len(set(atom.variables) & bound)))
        waiting.remove(best)
        ordered.append(best)
        bound.update(best.variables)
    return ordered


def _summary(formula: _Formula, parts: tuple[Condition, ...]) -> GoalCondition:
    """Summarize the goal; raises DataError if it belongs to none of the six task types."""
    facts = formula.facts
    otypes = {arguments[0]: arguments[1] for predicate, arguments in facts if predicate == "objecttype"}
    rtypes = {arguments[1] for predicate, arguments in facts if predicate == "receptacletype"}
    toggled = {arguments[0] for predicate, arguments in facts if predicate == "istoggled"}
    needed = {_PROPERTY_FACTS[predicate] for predicate, _ in facts if predicate in _PROPERTY_FACTS}
    wanted = [otype for variable, otype in otypes.items() if variable not in toggled]
    placed = sum(predicate == "inreceptacle" for predicate, _ in facts)
    if len(set(wanted)) != 1 or len(rtypes) > 1 or len(needed) > 1 or bool(rtypes) == bool(toggled):
        raise DataError("The goal of the game belongs to none of ALFWorld's six task types.")
    needs = next(iter(needed), "")
    if toggled:
        task_type = "look_at_obj_in_light"
    elif needs:
        task_type = _CHANGED[needs]
    else:
        task_type = "pick_two_obj_and_place" if placed > 1 else "pick_and_place_simple"
    return GoalCondition(
        task_type=task_type,
        otype=wanted[0],
        rtype=next(iter(rtypes), ""),
        lamp_otype=next((otypes[name] for name in toggled if name in otypes), ""),
        needs=needs,
        count=len(wanted),
        sliced=any(predicate == "issliced" for predicate, _ in facts),
        deciding_actions=frozenset(
            name for name, changed in CHANGES.items() if any(predicate in changed for predicate, _ in facts)
        ),
        parts=parts,
    )
