"""Reasons for commands, in varied words.

``explain`` depends only on the view, the action and the random generator, so it cannot reveal hidden facts. Only
``reveal`` gets the gold command.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from leap_exp.core.types import View
from leap_exp.envs.intercode_bash.builtin.families import LOCATED, parse_query
from leap_exp.envs.intercode_bash.engine.episode import SUBMIT
from leap_exp.envs.intercode_bash.teaching.expert import SILENT
from leap_exp.envs.intercode_bash.teaching.memory import Memory, recall
from leap_exp.envs.intercode_bash.teaching.syntax import Part, parts, paths_in, same_command

_FEWEST_WORDS, _MOST_WORDS = 8, 35
_LOOKING = ("ls", "find", "tree", "pwd", "cd")


def explain(view: View, action: str, *, rng: Random) -> str:
    """Return why ``action`` is run and what its words mean, without anything that ``view`` does not show."""
    memory = recall(view)
    status = _status(view, memory, rng)
    kind = _kind(view, memory, action)
    ground = _pick("grounds", kind, rng).format(name=_sought(view, memory))
    if action == SUBMIT:
        return _sentence(f"{status}, and {ground}", _pick("moves", "submit", rng))
    if kind == "silent":
        return _sentence(f"{status}, but {ground}", _pick("moves", "silent", rng))
    meaning = list(_meaning(action, rng))
    text = _fitted(f"{status}, and {ground}", meaning)
    # The explanation of a short command must not contain the command itself.
    if action.lower() in text.lower() and action.lower() not in view.task.instruction.lower():
        text = _fitted(f"{status}, and {ground}", [_pick("syntax", "unknown", rng, "does")])
    return text


def reveal(gold: str, action: str, *, rng: Random) -> str:
    """Return a reason for ``action`` that states the gold command."""
    ground = _pick("disclosures", "grounds", rng).format(gold=gold)
    if same_command(action, gold):
        text = f"{ground}, so {_pick('disclosures', 'moves', rng)}"
    else:
        text = f"{ground}, and to see that, {next(iter(_meaning(action, rng)))}"
    return f"{text[0].upper()}{text[1:]}."


def _status(view: View, memory: Memory, rng: Random) -> str:
    """Return a phrase about the last output."""
    last = memory.last
    if last is None:
        return _pick("status", "start", rng)
    if last.failed:
        return _pick("status", "failed", rng)
    if not last.output.strip():
        return _pick("status", "silent", rng)
    for name in _names(view):
        path = memory.place_of(name)
        if path and path in paths_in(last.output):
            return _pick("status", "found", rng).format(name=name, path=path)
    return _pick("status", "printed", rng)


def _kind(view: View, memory: Memory, action: str) -> str:
    """Return the purpose of ``action``: a key of the table ``grounds``."""
    last = memory.last
    if action == SUBMIT:
        if last is None or last.failed:
            return "submit_failed"
        return "submit_output" if last.output.strip() else "submit_silent"
    if action == SILENT:
        return "silent"
    if memory.has_run(action):
        return "again"
    query = parse_query(view.task.instruction)
    program = parts(action)[0].program if parts(action) else ""
    if name := _sought(view, memory):
        if program == "find" and name in action:
            return "search"
        if program in _LOOKING:
            return "look_around"
    if query is None and program in ("ls", "find") and not last and len(parts(action)) == 1:
        return "search_other"
    if query and query.family.look and program == "head":
        return "look"
    return "answer_found" if memory.commands else "answer_path"


def _names(view: View) -> list[str]:
    """Return the files and folders that the query names without a path."""
    query = parse_query(view.task.instruction)
    slots = query.slots.items() if query else ()
    named = [value for slot, value in slots if slot in LOCATED or slot == "name"]
    return [value for value in named if not value.startswith("/")]


def _sought(view: View, memory: Memory) -> str:
    """Return the first name in the query whose path is not known yet, or ""."""
    return next((name for name in _names(view) if memory.place_of(name) is None), "")


def _meaning(action: str, rng: Random) -> Iterator[str]:
    """Yield phrases for the programs, options and operators of ``action``, in order; at least one."""
    table = _phrases()["syntax"]
    known = [part for part in parts(action) if part.program in table]
    for index, part in enumerate(known):
        if part.operator == "|" and index == 1:
            yield rng.choice(table["operators"]["|"])
        yield rng.choice(table[part.program]["does"])
        yield from _options(part, rng)
    if not known:
        yield _pick("syntax", "unknown", rng, "does")


def _options(part: Part, rng: Random) -> Iterator[str]:
    """Yield phrases for the options of ``part``; a word has the meaning of the longest known option it starts with."""
    known = {option: phrases for option, phrases in _phrases()["syntax"][part.program].items() if option != "does"}
    operators = _phrases()["syntax"]["operators"]
    for word in part.arguments:
        if word in operators:
            yield rng.choice(operators[word])
        elif option := max((option for option in known if word.startswith(option)), key=len, default=None):
            yield rng.choice(known.pop(option))


def _fitted(start: str, meaning: list[str]) -> str:
    """Return ``start`` followed by as many phrases of ``meaning`` as the maximum length allows."""
    text = f"{start}: {meaning[0]}"
    for phrase in meaning[1:]:
        longer = f"{text}, {phrase}"
        if len(longer.split()) > _MOST_WORDS:
            break
        text = longer
    if len(text.split()) < _FEWEST_WORDS:
        text += ", as the request wants it"
    return f"{text[0].upper()}{text[1:]}."


def _sentence(start: str, move: str) -> str:
    text = f"{start}, so {move}."
    return text[0].upper() + text[1:]


def _pick(table: str, kind: str, rng: Random, key: str = "") -> str:
    stock = _phrases()[table][kind]
    phrases: list[str] = stock[key] if key else stock
    return rng.choice(phrases)


@cache
def _phrases() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8"))
