"""Reader for PDDL problems: what a household consists of and how it starts, as plain data."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.pddl import without_comments

OBJECT_FLAGS = (
    "pickupable", "cleanable", "heatable", "coolable", "toggleable", "sliceable", "isreceptacleobject", "moveable",
)  # fmt: skip
DYNAMIC_FLAGS = ("opened", "isclean", "ishot", "iscool", "issliced", "istoggled")
_PAIRS = {
    "objecttype": ("object", "otype"),
    "receptacletype": ("receptacle", "rtype"),
    "cancontain": ("rtype", "otype"),
    "receptacleatlocation": ("receptacle", "location"),
    "objectatlocation": ("object", "location"),
    "inreceptacle": ("object", "receptacle"),
    "inreceptacleobject": ("object", "object"),
    "atlocation": ("agent", "location"),
    "holds": ("agent", "object"),
}
_MARKS = {"openable": "receptacle", "opened": "receptacle"} | {
    flag: "object" for flag in (*OBJECT_FLAGS, *DYNAMIC_FLAGS) if flag != "opened"
}
# Predicates that neither the rules nor the texts of a game read.
_UNREAD = (
    "checked", "examined", "full", "ison", "holdsany", "holdsanyreceptacleobject", "wasinreceptacle",
    "isreceptacleobjectfull",
)  # fmt: skip
_NUMERIC_FACT = re.compile(r"\(=\s*\([^()]*\)[^()]*\)")

Columns = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a PDDL problem says, in types that JSON has too. Things are numbered in the order of their ids.

    Attributes:
        objects: Id, name that players see, and type of each object.
        receptacles: The same of each receptacle.
        places: The location of each receptacle.
        locations: Ids of the locations.
        can_contain: The (rtype, otype) pairs that go together, as "rtype otype rtype otype ...".
        receptacles_at: The receptacles at each location.
        inside: The objects inside each object.
        contents: The objects in each receptacle at the start.
        objects_at: The objects at each location at the start.
        flags: Properties, such as "openable" and "opened", as bit masks over the objects or receptacles.
        start: The agent's location at the start.
        held: The object in hand at the start, or -1.
        goal: The goal formula.
    """

    objects: Sequence[Sequence[str]]
    receptacles: Sequence[Sequence[str]]
    places: Sequence[int]
    locations: Sequence[str]
    can_contain: str
    receptacles_at: Columns
    inside: Columns
    contents: Columns
    objects_at: Columns
    flags: Mapping[str, int]
    start: int
    held: int
    goal: str


def read_problem(text: str) -> Problem:
    """Read a PDDL problem.

    Raises:
        DataError: It has facts that the fast engine does not support.
        KeyError: Something is used but not declared.
    """
    return _Reader(text).problem()


def sections(text: str) -> tuple[str, str]:
    """Return the texts of the initial facts and of the goal formula of a PDDL problem in lower case.

    Raises:
        DataError: It has none.
    """
    try:
        init = text.index("(:init")
        goal = text.index("(:goal", init)
    except ValueError:
        raise DataError("its PDDL problem has no (:init followed by (:goal.") from None
    # White space differs between games with the same goal.
    return text[init + len("(:init") : goal], " ".join(text[goal + len("(:goal") :].split())


class _Reader:
    """The facts of a PDDL problem, by predicate."""

    def __init__(self, text: str) -> None:
        init, self._goal = sections(without_comments(text))
        init, self._can_contain = _cut_out_can_contain(init)
        self._pairs: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._marks: dict[str, set[str]] = defaultdict(set)
        named: dict[str, set[str]] = defaultdict(set)
        for predicate, facts in _facts_by_predicate(init).items():
            width = len(facts[0])
            if any(len(fact) != width for fact in facts):
                raise DataError(f"its facts ({predicate} ...) have different numbers of arguments.")
            if predicate in _PAIRS and width == 3:
                pairs = self._pairs[predicate] = {(first, second) for _, first, second in facts}
                for kind, names in zip(_PAIRS[predicate], zip(*pairs, strict=True), strict=True):
                    named[kind].update(names)
            elif predicate in _MARKS and width == 2:
                marked = self._marks[predicate] = {name for _, name in facts}
                named[_MARKS[predicate]] |= marked
            elif predicate not in _UNREAD:
                raise DataError(f"its facts ({predicate} ...) do not belong to ALFWorld's domain.")
        self._names = _shown_names(named["object"] | named["receptacle"])
        self._receptacles, self._objects, self._locations = (
            {name: index for index, name in enumerate(sorted(named[kind]))}
            for kind in ("receptacle", "object", "location")
        )

    def problem(self) -> Problem:
        """Return the problem with its things numbered."""
        receptacles, objects, locations = self._receptacles, self._objects, self._locations
        rtypes, otypes = self._values("receptacletype"), self._values("objecttype")
        places = self._values("receptacleatlocation")
        started = [locations[location] for _, location in self._pairs["atlocation"]]
        held = [objects[thing] for _, thing in self._pairs["holds"]]
        if len(started) != 1 or len(held) > 1:
            raise DataError(f"the agent starts at {len(started)} places with {len(held)} objects in hand.")
        others = [symbol for pair in sorted(self._pairs["cancontain"]) for symbol in pair]
        return Problem(
            objects=[(name, self._names[name], otypes.get(name, "")) for name in objects],
            receptacles=[(name, self._names[name], rtypes.get(name, "")) for name in receptacles],
            places=[locations[places[name]] for name in receptacles],
            locations=list(locations),
            can_contain=" ".join([*self._can_contain, *others]),
            receptacles_at=self._columns("receptacleatlocation", receptacles, locations),
            inside=self._columns("inreceptacleobject", objects, objects),
            contents=self._columns("inreceptacle", objects, receptacles),
            objects_at=self._columns("objectatlocation", objects, locations),
            flags={
                flag: self._mask(flag, receptacles if kind == "receptacle" else objects)
                for flag, kind in _MARKS.items()
            },
            start=started[0],
            held=held[0] if held else -1,
            goal=self._goal,
        )

    def _values(self, predicate: str) -> Mapping[str, str]:
        found = dict(self._pairs[predicate])
        if len(found) != len(self._pairs[predicate]):
            raise DataError(f"something has two values of {predicate}.")
        return found

    def _columns(self, predicate: str, rows: Mapping[str, int], columns: Mapping[str, int]) -> Columns:
        found: list[list[int]] = [[] for _ in columns]
        for first, second in self._pairs[predicate]:
            found[columns[second]].append(rows[first])
        for column in found:
            column.sort()
        return found

    def _mask(self, predicate: str, index: Mapping[str, int]) -> int:
        return sum([1 << index[name] for name in self._marks[predicate]])


def _cut_out_can_contain(init: str) -> tuple[str, Sequence[str]]:
    """Return the other facts, and the symbols of the pairs of ``canContain`` if its facts are consecutive.

    In official files they are, and they are half of all facts; reading them separately is faster.
    """
    start = init.find("(cancontain ")
    end = init.find(")", init.rfind("(cancontain ")) + 1
    run = init[start:end] if start >= 0 else ""
    if not run or run.count("(") != run.count("(cancontain "):
        return init, ()
    symbols = run.replace("(cancontain ", " ").replace(")", " ").split()
    if len(symbols) % 2:
        raise DataError("its facts (cancontain ...) have different numbers of arguments.")
    return init[:start] + init[end:], symbols


def _facts_by_predicate(init: str) -> dict[str, list[list[str]]]:
    """Return the facts by predicate, each as a list of symbols."""
    if "(=" in init:
        init = _NUMERIC_FACT.sub("", init)
    facts: dict[str, list[list[str]]] = defaultdict(list)
    for symbols in map(str.split, init.replace("(", " ").split(")")):
        if symbols:
            facts[symbols[0]].append(symbols)
    return facts


def _shown_names(ids: Iterable[str]) -> dict[str, str]:
    """Return the name that players see for each id; as in ALFWorld, numbers fall as ids rise."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name in sorted(ids):
        kind = name.partition("_bar_")[0]
        by_kind[kind + "basin" if "basin" in name else kind].append(name)
    return {
        name: f"{kind} {number}"
        for kind, names in by_kind.items()
        for number, name in zip(range(len(names), 0, -1), names, strict=True)
    }
