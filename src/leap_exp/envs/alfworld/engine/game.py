"""Reader for ``game.tw-pddl`` files."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.domain import require_known_domain
from leap_exp.envs.alfworld.engine.goal import GoalCondition, read_goal
from leap_exp.envs.alfworld.engine.grammar import TASK_PREFIX, Grammar, compile_grammar, split_grammar
from leap_exp.envs.alfworld.engine.pddl import without_comments
from leap_exp.envs.alfworld.engine.problem import DYNAMIC_FLAGS, OBJECT_FLAGS, Columns, Problem, read_problem, sections
from leap_exp.envs.alfworld.engine.state import Object, Receptacle, Scene, Start


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a game file says: all that is needed to build the game.

    Attributes:
        grammar: The grammar without its task sentence; most games have the same.
        task_text: The task sentence with its prefix.
        walkthrough: Commands that win.
        problem: The household.
    """

    grammar: str
    task_text: str
    walkthrough: tuple[str, ...]
    problem: Problem


def read_game(source: Path | str, *, game_id: str = "") -> Game:
    """Read a game, given the path or the text of its file.

    Raises:
        DataError: The file cannot be read, or the fast engine cannot play the game.
    """
    name = game_id or (str(source) if isinstance(source, Path) else "game text")
    with naming(name):
        return build_game(read_source(source.read_text(encoding="utf-8") if isinstance(source, Path) else source), name)


def read_source(text: str) -> Source:
    """Read the text of a game file; errors are those that ``naming`` converts."""
    data = json.loads(text)
    require_known_domain(data["pddl_domain"])
    grammar, task_text = split_grammar(data["grammar"])
    walkthrough = tuple(data.get("walkthrough") or ())
    return Source(
        grammar=grammar, task_text=task_text, walkthrough=walkthrough, problem=read_problem(data["pddl_problem"])
    )


def build_game(source: Source, name: str) -> Game:
    """Build the game called ``name``; errors are those that ``naming`` converts."""
    problem = source.problem
    receptacles, objects = _receptacles(problem), _objects(problem)
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for receptacle in receptacles:
        members["receptacletype", receptacle.rtype].append(receptacle.index)
    for thing in objects:
        members["objecttype", thing.otype].append(thing.index)
    return Game(
        id=name,
        task_text=source.task_text,
        goal=read_goal(problem.goal),
        receptacles=receptacles,
        objects=objects,
        locations=tuple(problem.locations),
        members=members,
        can_contain=_can_contain(problem.can_contain),
        receptacles_at=_tuples(problem.receptacles_at),
        inside=_tuples(problem.inside),
        flags={flag: problem.flags[flag] for flag in (*OBJECT_FLAGS, "openable")},
        start=Start(
            location=problem.start,
            held=problem.held,
            contents=_tuples(problem.contents),
            objects_at=_tuples(problem.objects_at),
            flags={flag: problem.flags[flag] for flag in DYNAMIC_FLAGS},
        ),
        grammar=compile_grammar(source.grammar),
        walkthrough=source.walkthrough,
    )


def read_summary(game_text: str, *, game_id: str) -> tuple[str, str]:
    """Return the task sentence and the task type of a game, several times faster than ``read_game``.

    Raises:
        DataError: The text is not a game.
    """
    with naming(game_id):
        data = json.loads(game_text)
        _, task_text = split_grammar(data["grammar"])
        _, goal = sections(without_comments(data["pddl_problem"]))
        return summarize(task_text, goal)


def summarize(task_text: str, goal: str) -> tuple[str, str]:
    """Return the task sentence without its prefix, and the task type, of a task text and a goal formula."""
    return task_text.removeprefix(TASK_PREFIX), read_goal(goal).task_type


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Convert errors caused by a broken game file into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"The game file {name} cannot be read: {error.strerror or error}.") from error
    except KeyError as error:
        raise DataError(f"The game file {name} is broken: {error} is missing; install the games again.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"The game file {name} is broken or not ALFWorld's: {error}") from error


def _receptacles(problem: Problem) -> tuple[Receptacle, ...]:
    openable, opened = problem.flags["openable"], problem.flags["opened"]
    return tuple(
        [
            Receptacle(
                index=index,
                id=name,
                name=shown,
                rtype=rtype,
                location=location,
                openable=bool(openable >> index & 1),
                opened_at_start=bool(opened >> index & 1),
            )
            for index, ((name, shown, rtype), location) in enumerate(
                zip(problem.receptacles, problem.places, strict=True)
            )
        ]
    )


def _objects(problem: Problem) -> tuple[Object, ...]:
    pickupable, toggleable, sliceable = (problem.flags[flag] for flag in ("pickupable", "toggleable", "sliceable"))
    return tuple(
        [
            Object(
                index=index,
                id=name,
                name=shown,
                otype=otype,
                pickupable=bool(pickupable >> index & 1),
                toggleable=bool(toggleable >> index & 1),
                sliceable=bool(sliceable >> index & 1),
            )
            for index, (name, shown, otype) in enumerate(problem.objects)
        ]
    )


def _tuples(columns: Columns) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, columns))


@lru_cache(maxsize=1024)
def _can_contain(symbols: str) -> frozenset[tuple[str, str]]:
    """Return the pairs in a text. Many games have the same, and share them."""
    names = symbols.split()
    return frozenset(zip(names[::2], names[1::2], strict=True))
