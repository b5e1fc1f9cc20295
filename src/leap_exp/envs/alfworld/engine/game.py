"""Reader for ``game.tw-pddl`` files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.domain import require_known_domain
from leap_exp.envs.alfworld.engine.game_file import read_file, read_task
from leap_exp.envs.alfworld.engine.goal import GoalCondition, read_goal
from leap_exp.envs.alfworld.engine.grammar import TASK_PREFIX, Grammar, compile_grammar
from leap_exp.envs.alfworld.engine.problem import Problem, read_problem
from leap_exp.envs.alfworld.engine.state import Scene


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
        file = read_file(source.read_text(encoding="utf-8") if isinstance(source, Path) else source)
        require_known_domain(file.domain)
        problem = read_problem(file.init)
        return Game(
            id=name,
            task_text=file.task_text,
            goal=read_goal(file.goal),
            members=_members(problem),
            grammar=compile_grammar(file.grammar),
            walkthrough=file.walkthrough,
            **{part.name: getattr(problem, part.name) for part in fields(Problem)},
        )


def read_summary(game_text: str, *, game_id: str) -> tuple[str, str]:
    """Return the task sentence and the task type of a game, several times faster than ``read_game``.

    Raises:
        DataError: The text is not a game.
    """
    with _naming(game_id):
        task_text, goal = read_task(game_text)
        return task_text.removeprefix(TASK_PREFIX), read_goal(goal).task_type


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


def _members(problem: Problem) -> Mapping[tuple[str, str], Sequence[int]]:
    """Return the things of each type."""
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for receptacle in problem.receptacles:
        members["receptacletype", receptacle.rtype].append(receptacle.index)
    for thing in problem.objects:
        members["objecttype", thing.otype].append(thing.index)
    return members
