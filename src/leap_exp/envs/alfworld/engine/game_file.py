"""Reader for the JSON of ``game.tw-pddl`` files.

Nearly all files begin with the same domain and the same grammar but for the task sentence, a third of a file. This is
parsed once and kept as a *frame*. A text that has the same characters there is read from the PDDL problem on; a text
that fits no frame is parsed as a whole.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.grammar import TASK_PREFIX, split_grammar
from leap_exp.envs.alfworld.engine.pddl import without_comments

_KEYS = ("pddl_domain", "grammar", "pddl_problem")
_INIT, _GOAL = "(:init", "(:goal"


@dataclass(frozen=True, slots=True, kw_only=True)
class GameFile:
    """The parts of a game file.

    Attributes:
        domain: The PDDL domain.
        grammar: The grammar without its task sentence; most games have the same.
        task_text: The task sentence with its prefix.
        init: The initial facts of the PDDL problem, in lower case.
        goal: The goal formula, in lower case and with single spaces.
        walkthrough: Commands that win.
    """

    domain: str
    grammar: str
    task_text: str
    init: str
    goal: str
    walkthrough: tuple[str, ...]


class _Frame(NamedTuple):
    """What files have in common.

    Attributes:
        start: The text of the files up to the words of the task.
        middle: The text from there to the first character of the PDDL problem.
        domain: As in ``GameFile``; likewise ``grammar``.
    """

    start: str
    middle: str
    domain: str
    grammar: str


class _Places(NamedTuple):
    """Where the parts of a text are that its frame does not have."""

    task_end: int
    init: int
    goal: int
    problem_end: int


_FRAMES: list[_Frame] = []
"""The frames of the files read last. All threads may change it: a frame that is lost is made again."""
_MOST_FRAMES = 4


def read_file(text: str) -> GameFile:
    """Read the text of a game file.

    Raises:
        DataError: It has no task sentence, initial facts or goal.
        KeyError: A part is missing.
        ValueError: It is not JSON. (TypeError, AttributeError: It is JSON of another kind.)
    """
    for frame in _FRAMES:
        places = _places(text, frame)
        if places is not None:
            return GameFile(
                domain=frame.domain,
                grammar=frame.grammar,
                task_text=_task_text(text, frame, places),
                init=json.loads(f'"{text[places.init + len(_INIT) : places.goal]}"').lower(),
                goal=_goal(text, places),
                walkthrough=_walkthrough(json.loads(f'{{"":""{text[places.problem_end + 1 :]}')),
            )
    return _read_whole(text)


def read_task(text: str) -> tuple[str, str]:
    """Return the task text and the goal of a game file, as ``read_file`` does; it is several times as fast."""
    for frame in _FRAMES:
        places = _places(text, frame)
        if places is not None:
            return _task_text(text, frame, places), _goal(text, places)
    file = _read_whole(text)
    return file.task_text, file.goal


def _places(text: str, frame: _Frame) -> _Places | None:
    """Return where the parts of ``text`` are, or None if it does not fit ``frame`` or has to be read as a whole."""
    if not text.startswith(frame.start):
        return None
    start = len(frame.start)
    task_end = text.find('"', start) - 1
    problem = task_end + len(frame.middle)
    if not text.startswith(frame.middle, task_end) or "\\" in text[start:task_end]:
        return None
    problem_end = text.find('"', problem)
    init = text.find(_INIT, problem, problem_end)
    goal = text.rfind(_GOAL, init, problem_end)
    # Comments, escaped quotation marks, and keys that come twice: rare enough to be left to the whole parser.
    is_plain = (
        0 <= init < goal
        and text[problem_end - 1] != "\\"
        and text.find(";", problem, problem_end) < 0
        and not any(key in text[problem_end:] for key in _KEYS)
    )
    return _Places(task_end, init, goal, problem_end) if is_plain else None


def _task_text(text: str, frame: _Frame, places: _Places) -> str:
    return TASK_PREFIX + text[len(frame.start) : places.task_end]


def _goal(text: str, places: _Places) -> str:
    goal: str = json.loads(f'"{text[places.goal + len(_GOAL) : places.problem_end]}"')
    return _spaced(goal.lower())


def _spaced(goal: str) -> str:
    """Return a goal with single spaces: white space differs between games with the same goal."""
    return " ".join(goal.split())


def _walkthrough(data: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(data.get("walkthrough") or ())


def _read_whole(text: str) -> GameFile:
    """Parse a text as a whole and keep its frame for others; errors as in ``read_file``."""
    data = json.loads(text)
    domain = data["pddl_domain"]
    grammar, task_text = split_grammar(data["grammar"])
    problem = without_comments(data["pddl_problem"])
    init = problem.find(_INIT)
    goal = problem.rfind(_GOAL, init)
    if not 0 <= init < goal:
        raise DataError("its PDDL problem has no (:init followed by (:goal.")
    if tuple(data)[: len(_KEYS)] == _KEYS:
        _keep_frame(text, domain, grammar, task_text)
    return GameFile(
        domain=domain,
        grammar=grammar,
        task_text=task_text,
        init=problem[init + len(_INIT) : goal],
        goal=_spaced(problem[goal + len(_GOAL) :]),
        walkthrough=_walkthrough(data),
    )


def _keep_frame(text: str, domain: str, grammar: str, task_text: str) -> None:
    """Keep the frame of a text, of which the first three keys are ``_KEYS``, if it is a usual one."""
    start, _, rest = text.partition(task_text)
    middle, key, problem = rest.partition(f'"{_KEYS[-1]}"')
    space = problem[: problem.find('"') + 1]
    frame = _Frame(start + TASK_PREFIX, middle + key + space, domain, grammar)
    # The backslash before the quotation mark that ends the task.
    if middle.startswith('\\"') and key and task_text not in rest and frame not in _FRAMES:
        _FRAMES[:] = [frame, *_FRAMES][:_MOST_FRAMES]
