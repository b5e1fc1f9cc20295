"""Reader for the initial facts of PDDL problems: what a household consists of and how it starts."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.state import Object, Receptacle, Start

OBJECT_FLAGS = (
    "pickupable", "cleanable", "heatable", "coolable", "toggleable", "sliceable", "isreceptacleobject", "moveable",
)  # fmt: skip
DYNAMIC_FLAGS = ("opened", "isclean", "ishot", "iscool", "issliced", "istoggled")
_KINDS: Mapping[str, Sequence[str]] = {
    "objecttype": ("object", "otype"),
    "receptacletype": ("receptacle", "rtype"),
    "cancontain": ("rtype", "otype"),
    "receptacleatlocation": ("receptacle", "location"),
    "objectatlocation": ("object", "location"),
    "inreceptacle": ("object", "receptacle"),
    "inreceptacleobject": ("object", "object"),
    "atlocation": ("agent", "location"),
    "holds": ("agent", "object"),
    **dict.fromkeys((*OBJECT_FLAGS, *DYNAMIC_FLAGS), ("object",)),
    **dict.fromkeys(("openable", "opened"), ("receptacle",)),
}
"""The kinds of each predicate's arguments."""
_PLACES: Mapping[str, Sequence[tuple[str, int]]] = {
    kind: [
        (predicate, place) for predicate, kinds in _KINDS.items() for place in range(len(kinds)) if kinds[place] == kind
    ]
    for kind in ("object", "receptacle", "location")
}
"""The predicates with arguments of each kind, and which argument it is."""
# Predicates that neither the rules nor the texts of a game read.
_UNREAD = (
    "checked", "examined", "full", "ison", "holdsany", "holdsanyreceptacleobject", "wasinreceptacle",
    "isreceptacleobjectfull",
)  # fmt: skip
_NUMERIC_FACT = re.compile(r"\(=\s*\([^()]*\)[^()]*\)")

_FLAGS = (*OBJECT_FLAGS, *DYNAMIC_FLAGS, "openable")
_SAME_IN_A_ROOM = ("receptacletype", "receptacleatlocation", "openable")
"""Predicates whose facts are the same in all games in a room, of which ALFWorld has 120."""
_CAN_CONTAIN = re.compile(r"\(cancontain\s[^(]*(?:\(cancontain\s[^(]*)*")

_Columns = tuple[tuple[int, ...], ...]
_Names = Mapping[str, int]
"""Indices of things by id, in the order of the ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What the initial facts say; attributes as in ``Scene``."""

    receptacles: tuple[Receptacle, ...]
    objects: tuple[Object, ...]
    can_contain: frozenset[tuple[str, str]]
    receptacles_at: _Columns
    inside: _Columns
    flags: Mapping[str, int]
    start: Start


def read_problem(init: str) -> Problem:
    """Read the initial facts of a PDDL problem, in lower case.

    Raises:
        DataError: There are facts that the fast engine does not support.
        KeyError: Something is used but not declared.
    """
    init, can_contain = _cut_out_can_contain(init)
    facts = _Facts(init)
    if others := set(zip(*facts.arguments("cancontain"), strict=True)):
        can_contain |= others
    receptacles, objects, locations = facts.names("receptacle"), facts.names("object"), facts.names("location")
    started, held = (set(facts.arguments(predicate)[1]) for predicate in ("atlocation", "holds"))
    if len(started) != 1 or len(held) > 1:
        raise DataError(f"the agent starts at {len(started)} places with {len(held)} objects in hand.")
    bits = {"receptacle": _bits(receptacles), "object": _bits(objects)}
    flags = {flag: reduce(or_, map(bits[_KINDS[flag][0]].__getitem__, facts.marked(flag)), 0) for flag in _FLAGS}
    shown = _shown_names({**receptacles, **objects})
    return Problem(
        receptacles=_receptacles(facts, receptacles, locations, shown),
        objects=_objects(facts, objects, shown),
        can_contain=can_contain,
        receptacles_at=_columns(facts.arguments("receptacleatlocation"), receptacles, locations),
        inside=_columns(facts.arguments("inreceptacleobject"), objects, objects),
        flags={flag: flags[flag] for flag in (*OBJECT_FLAGS, "openable")},
        start=Start(
            location=locations[started.pop()],
            held=objects[held.pop()] if held else -1,
            contents=_columns(facts.arguments("inreceptacle"), objects, receptacles),
            objects_at=_columns(facts.arguments("objectatlocation"), objects, locations),
            flags={flag: flags[flag] for flag in DYNAMIC_FLAGS},
        ),
    )


class _Facts:
    """Facts by predicate."""

    def __init__(self, init: str) -> None:
        """Read the facts of ``init``; raises DataError if one does not belong to ALFWorld's domain."""
        self._arguments: dict[str, list[list[str]]] = {
            predicate: [[] for _ in kinds] for predicate, kinds in _KINDS.items()
        }
        for predicate, arguments in _by_predicate(init):
            known = self._arguments.get(predicate)
            if known is not None and len(known) == len(arguments):
                for names, more in zip(known, arguments, strict=True):
                    names += more
            elif predicate not in _UNREAD:
                raise DataError(f"its facts ({predicate} ...) do not belong to ALFWorld's domain.")

    def arguments(self, predicate: str) -> Sequence[Sequence[str]]:
        """Return the first arguments of the facts of a predicate, and the second ones."""
        return self._arguments[predicate]

    def marked(self, predicate: str) -> Sequence[str]:
        """Return what a predicate of one argument is said of."""
        (names,) = self._arguments[predicate]
        return names

    def values(self, predicate: str) -> Mapping[str, str]:
        """Return the second argument by the first; raises DataError if one has two."""
        firsts, seconds = self._arguments[predicate]
        found = dict(zip(firsts, seconds, strict=True))
        if len(found) < len(firsts) and len(found) < len(set(zip(firsts, seconds, strict=True))):
            raise DataError(f"something has two values of {predicate}.")
        return found

    def names(self, kind: str) -> _Names:
        """Return the things of a kind."""
        things = sorted(set().union(*[self._arguments[predicate][place] for predicate, place in _PLACES[kind]]))
        return dict(zip(things, range(len(things)), strict=True))


def _receptacles(
    facts: _Facts, receptacles: _Names, locations: _Names, shown: Mapping[str, str]
) -> tuple[Receptacle, ...]:
    rtypes, places = facts.values("receptacletype"), facts.values("receptacleatlocation")
    openable, opened = set(facts.marked("openable")), set(facts.marked("opened"))
    return tuple(
        [
            Receptacle(
                index,
                name,
                shown[name],
                rtypes.get(name, ""),
                locations[places[name]],
                name in openable,
                name in opened,
            )
            for name, index in receptacles.items()
        ]
    )


def _objects(facts: _Facts, objects: _Names, shown: Mapping[str, str]) -> tuple[Object, ...]:
    otypes = facts.values("objecttype")
    return tuple([Object(index, name, shown[name], otypes.get(name, "")) for name, index in objects.items()])


def _bits(names: _Names) -> Mapping[str, int]:
    return {name: 1 << index for name, index in names.items()}


def _columns(pairs: Sequence[Sequence[str]], rows: _Names, columns: _Names) -> _Columns:
    """Return the first things of each second one, ascending."""
    firsts, seconds = pairs
    found: dict[int, list[int]] = defaultdict(list)
    for column, row in zip(map(columns.__getitem__, seconds), map(rows.__getitem__, firsts), strict=True):
        found[column].append(row)
    return tuple([tuple(sorted(set(found[index]))) if index in found else () for index in range(len(columns))])


def _cut_out_can_contain(init: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the other facts, and the pairs of the first run of ``canContain``.

    In official files it is the only one, has a third of all facts and is the same in all games.
    """
    run = _CAN_CONTAIN.search(init)
    return (init[: run.start()] + init[run.end() :], _pairs(run[0])) if run else (init, frozenset())


@lru_cache(maxsize=256)
def _pairs(run: str) -> frozenset[tuple[str, str]]:
    firsts, seconds = _read("cancontain", run, run.count("("))
    return frozenset(zip(firsts, seconds, strict=True))


def _by_predicate(init: str) -> Iterator[tuple[str, Sequence[Sequence[str]]]]:
    """Give each predicate with the first arguments of its facts, the second ones, and so on; without numeric facts.

    There are many facts and few predicates, so what is done for each fact is left to ``str`` and ``list.sort``.
    """
    if "=" in init:
        init = _NUMERIC_FACT.sub("", init)
    facts = init.split("(")[1:]
    facts.sort()
    first = 0
    while first < len(facts):
        predicate, *_ = facts[first].split(maxsplit=1)
        # "!" is the first character after white space.
        last = bisect_left(facts, f"{predicate}!", first)
        read = _read_shared if predicate in _SAME_IN_A_ROOM else _read
        yield predicate, read(predicate, "".join(facts[first:last]), last - first)
        first = last


def _read(predicate: str, text: str, facts: int) -> Sequence[Sequence[str]]:
    symbols = text.replace("(", " ").replace(")", " ").split()
    width = len(symbols) // facts
    if symbols[::width] != [predicate] * facts:
        raise DataError(f"its facts ({predicate} ...) have different numbers of arguments.")
    return [symbols[place::width] for place in range(1, width)]


_read_shared = lru_cache(maxsize=512)(_read)


def _shown_names(ids: Iterable[str]) -> Mapping[str, str]:
    """Return the name that players see for each id; as in ALFWorld, numbers fall as ids rise."""
    counts: dict[str, int] = {}
    shown: dict[str, str] = {}
    for name in sorted(ids, reverse=True):
        kind = name.partition("_bar_")[0]
        if "basin" in name:
            kind += "basin"
        counts[kind] = number = counts.get(kind, 0) + 1
        shown[name] = f"{kind} {number}"
    return shown
