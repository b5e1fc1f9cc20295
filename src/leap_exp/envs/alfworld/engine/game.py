"""Reader for ``game.tw-pddl`` files."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.domain import require_known_domain
from leap_exp.envs.alfworld.engine.goal import GoalCondition, read_goal
from leap_exp.envs.alfworld.engine.grammar import TASK_PREFIX, Grammar, read_grammar
from leap_exp.envs.alfworld.engine.pddl import parse_expression, without_comments
from leap_exp.envs.alfworld.engine.state import Object, Receptacle, Scene, Start

_OBJECT_FLAGS = (
    "pickupable", "cleanable", "heatable", "coolable", "toggleable", "sliceable", "isreceptacleobject", "moveable",
)  # fmt: skip
_DYNAMIC_FLAGS = ("opened", "isclean", "ishot", "iscool", "issliced", "istoggled")
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
    flag: "object" for flag in (*_OBJECT_FLAGS, *_DYNAMIC_FLAGS) if flag != "opened"
}
# Predicates that neither the rules nor the texts of a game read.
_UNREAD = (
    "checked", "examined", "full", "ison", "holdsany", "holdsanyreceptacleobject", "wasinreceptacle",
    "isreceptacleobjectfull",
)  # fmt: skip
_NUMERIC_FACT = re.compile(r"\(=\s*\([^()]*\)[^()]*\)")


class Action(NamedTuple):
    """A ground action: its name in the domain and the indices of its arguments (-1: none)."""

    name: str
    object: int = -1
    receptacle: int = -1
    tool: int = -1


Command = tuple[str, Action]
"""A command and its action."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Game(Scene):
    """The static part of a game with its goal and texts.

    Attributes:
        goal: What wins the game.
        grammar: The texts.
        walkthrough: Commands that win, from the game file.
        commands: The commands rendered so far. All threads write the same values, so they can share it.
        commands_of_game: The commands for looking and for going to every receptacle, sorted; shared likewise.
        commands_of_location: The same without going where the agent is, by location; shared likewise.
    """

    goal: GoalCondition
    grammar: Grammar
    walkthrough: tuple[str, ...]
    commands: dict[tuple[str, int, int, int], Command] = field(default_factory=dict, repr=False)
    commands_of_game: list[Command] = field(default_factory=list, repr=False)
    commands_of_location: dict[int, list[Command]] = field(default_factory=dict, repr=False)

    @property
    def instruction(self) -> str:
        """The task sentence without its prefix: "put a mug in cabinet."."""
        return self.task_text.removeprefix(TASK_PREFIX)


def read_game(source: Path | str, *, game_id: str = "") -> Game:
    """Read a game, given the path or the text of its file.

    Raises:
        DataError: The file cannot be read, or the fast engine cannot play the game.
    """
    name = game_id or (str(source) if isinstance(source, Path) else "game text")
    with _naming(name):
        data = json.loads(source.read_text(encoding="utf-8") if isinstance(source, Path) else source)
        require_known_domain(data["pddl_domain"])
        grammar, task_text = read_grammar(data["grammar"])
        walkthrough = tuple(data.get("walkthrough") or ())
        return _Problem(data["pddl_problem"]).game(name, grammar, task_text, walkthrough)


def read_summary(game_text: str, *, game_id: str) -> tuple[str, str]:
    """Return the task sentence and the task type of a game, three times faster than ``read_game``.

    Raises:
        DataError: The text is not a game.
    """
    with _naming(game_id):
        data = json.loads(game_text)
        _, task_text = read_grammar(data["grammar"])
        _, goal = _sections(without_comments(data["pddl_problem"]))
        return task_text.removeprefix(TASK_PREFIX), read_goal(parse_expression(goal), {}).task_type


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Convert errors caused by a broken game file into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"The game file {name} cannot be read: {error.strerror or error}.") from error
    except KeyError as error:
        raise DataError(f"The game file {name} is broken: {error} is missing; install the games again.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"The game file {name} is broken or not ALFWorld's: {error}") from error


class _Problem:
    """The facts of a PDDL problem, by predicate."""

    def __init__(self, text: str) -> None:
        text = without_comments(text)
        init, self.goal = _sections(text)
        init, self.can_contain = _cut_out_can_contain(init)
        self.pairs: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.marks: dict[str, set[str]] = defaultdict(set)
        named: dict[str, set[str]] = defaultdict(set)
        for predicate, facts in _facts_by_predicate(init).items():
            width = len(facts[0])
            if any(len(fact) != width for fact in facts):
                raise DataError(f"its facts ({predicate} ...) have different numbers of arguments.")
            if predicate in _PAIRS and width == 3:
                pairs = self.pairs[predicate] = {(first, second) for _, first, second in facts}
                for kind, names in zip(_PAIRS[predicate], zip(*pairs, strict=True), strict=True):
                    named[kind].update(names)
            elif predicate in _MARKS and width == 2:
                marked = self.marks[predicate] = {name for _, name in facts}
                named[_MARKS[predicate]] |= marked
            elif predicate not in _UNREAD:
                raise DataError(f"its facts ({predicate} ...) do not belong to ALFWorld's domain.")
        self.names, self.kinds = _shown_names(named["object"] | named["receptacle"])
        self.receptacles, self.objects, self.locations = (
            {name: index for index, name in enumerate(sorted(named[kind]))}
            for kind in ("receptacle", "object", "location")
        )

    def _functions(self, predicate: str) -> dict[str, str]:
        found = dict(self.pairs[predicate])
        if len(found) != len(self.pairs[predicate]):
            raise DataError(f"something has two values of {predicate}.")
        return found

    def _columns(
        self, predicate: str, rows: Mapping[str, int], columns: Mapping[str, int]
    ) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in columns]
        for first, second in self.pairs[predicate]:
            found[columns[second]].append(rows[first])
        return tuple(tuple(sorted(column)) for column in found)

    def _mask(self, predicate: str, index: Mapping[str, int]) -> int:
        return sum(1 << index[name] for name in self.marks[predicate])

    def game(self, name: str, grammar: Grammar, task_text: str, walkthrough: tuple[str, ...]) -> Game:
        """Build the game."""
        receptacles, objects = self._receptacles(), self._objects()
        members: dict[tuple[str, str], set[int]] = defaultdict(set)
        for receptacle in receptacles:
            members["receptacletype", receptacle.rtype].add(receptacle.index)
        for thing in objects:
            members["objecttype", thing.otype].add(thing.index)
        return Game(
            id=name,
            task_text=task_text,
            goal=read_goal(parse_expression(self.goal), {key: frozenset(value) for key, value in members.items()}),
            receptacles=receptacles,
            objects=objects,
            locations=tuple(self.locations),
            can_contain=self.can_contain | self.pairs["cancontain"],
            receptacles_at=self._columns("receptacleatlocation", self.receptacles, self.locations),
            inside=self._columns("inreceptacleobject", self.objects, self.objects),
            flags={flag: self._mask(flag, self.objects) for flag in _OBJECT_FLAGS}
            | {"openable": self._mask("openable", self.receptacles)},
            start=self._start(),
            grammar=grammar,
            walkthrough=walkthrough,
        )

    def _start(self) -> Start:
        start_at = [self.locations[location] for _, location in self.pairs["atlocation"]]
        held = [self.objects[thing] for _, thing in self.pairs["holds"]]
        if len(start_at) != 1 or len(held) > 1:
            raise DataError(f"the agent starts at {len(start_at)} places with {len(held)} objects in hand.")
        return Start(
            location=start_at[0],
            held=held[0] if held else -1,
            contents=self._columns("inreceptacle", self.objects, self.receptacles),
            objects_at=self._columns("objectatlocation", self.objects, self.locations),
            flags={
                flag: self._mask(flag, self.receptacles if flag == "opened" else self.objects)
                for flag in _DYNAMIC_FLAGS
            },
        )

    def _receptacles(self) -> tuple[Receptacle, ...]:
        rtypes, places = self._functions("receptacletype"), self._functions("receptacleatlocation")
        return tuple(
            Receptacle(
                index=index,
                id=name,
                name=self.names[name],
                kind=self.kinds[name],
                rtype=rtypes.get(name, ""),
                location=self.locations[places[name]],
                openable=name in self.marks["openable"],
                opened_at_start=name in self.marks["opened"],
            )
            for name, index in self.receptacles.items()
        )

    def _objects(self) -> tuple[Object, ...]:
        otypes, marks = self._functions("objecttype"), self.marks
        return tuple(
            Object(
                index=index,
                id=name,
                name=self.names[name],
                kind=self.kinds[name],
                otype=otypes.get(name, ""),
                pickupable=name in marks["pickupable"],
                toggleable=name in marks["toggleable"],
                sliceable=name in marks["sliceable"],
            )
            for name, index in self.objects.items()
        )


def _sections(text: str) -> tuple[str, str]:
    """Return the texts of the initial facts and of the goal formula."""
    try:
        init = text.index("(:init")
        goal = text.index("(:goal", init)
    except ValueError:
        raise DataError("its PDDL problem has no (:init followed by (:goal.") from None
    return text[init + len("(:init") : goal], text[goal + len("(:goal") :]


def _cut_out_can_contain(init: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the other facts, and the pairs of ``canContain`` if its facts are consecutive.

    In official files they are, and they are half of all facts; reading them separately is faster.
    """
    start = init.find("(cancontain ")
    end = init.find(")", init.rfind("(cancontain ")) + 1
    run = init[start:end] if start >= 0 else ""
    if not run or run.count("(") != run.count("(cancontain "):
        return init, frozenset()
    symbols = run.replace("(cancontain ", " ").replace(")", " ").split()
    return init[:start] + init[end:], frozenset(zip(symbols[::2], symbols[1::2], strict=True))


def _facts_by_predicate(init: str) -> dict[str, list[list[str]]]:
    """Return the facts by predicate, each as a list of symbols."""
    if "(=" in init:
        init = _NUMERIC_FACT.sub("", init)
    facts: dict[str, list[list[str]]] = defaultdict(list)
    for symbols in map(str.split, init.replace("(", " ").split(")")):
        if symbols:
            facts[symbols[0]].append(symbols)
    return facts


def _shown_names(ids: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the name and the kind that players see for each id; as in ALFWorld, numbers fall as ids rise."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name in sorted(ids):
        kind = name.partition("_bar_")[0]
        by_kind[kind + "basin" if "basin" in name else kind].append(name)
    shown, kinds = {}, {}
    for kind, names in by_kind.items():
        for number, name in zip(range(len(names), 0, -1), names, strict=True):
            shown[name], kinds[name] = f"{kind} {number}", kind
    return shown, kinds
