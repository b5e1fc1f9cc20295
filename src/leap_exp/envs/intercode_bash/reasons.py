"""Reasons for commands, in varied words, from the request and what the agent has seen alone.

Nothing here gets to see the gold command: what ``explain`` says is a function of the view, the action and the random
generator, so that it cannot give away what is hidden. Only ``disclose`` does, with the command that it is handed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from leap_exp.core.types import View
from leap_exp.envs.intercode_bash.builtin.families import LOCATED, recognise
from leap_exp.envs.intercode_bash.episode import SUBMIT
from leap_exp.envs.intercode_bash.memory import Memory, recall
from leap_exp.envs.intercode_bash.shell_words import Part, parts, paths_in, same_command

_SILENT = "true"
_FEWEST_WORDS, _MOST_WORDS = 8, 35
_LOOKING = ("ls", "find", "tree", "pwd", "cd")


def explain(view: View, action: str, *, rng: Random) -> str:
    """A ground for ``action``, and what its words mean; it reveals nothing that the agent of ``view`` has not seen."""
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
    # A command of a word or two must not be given away by the words that explain it.
    if action.lower() in text.lower() and action.lower() not in view.task.instruction.lower():
        text = _fitted(f"{status}, and {ground}", [_pick("syntax", "unknown", rng, "does")])
    return text


def disclose(gold: str, action: str, *, rng: Random) -> str:
    """A ground for ``action`` that says the gold command outright."""
    ground = _pick("disclosures", "grounds", rng).format(gold=gold)
    if same_command(action, gold):
        text = f"{ground}, so {_pick('disclosures', 'moves', rng)}"
    else:
        text = f"{ground}, and to see that, {next(iter(_meaning(action, rng)))}"
    return f"{text[0].upper()}{text[1:]}."


def _status(view: View, memory: Memory, rng: Random) -> str:
    """What has come of it so far."""
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
    """What ``action`` is for, as ``[grounds]`` has it."""
    last = memory.last
    if action == SUBMIT:
        if last is None or last.failed:
            return "submit_failed"
        return "submit_output" if last.output.strip() else "submit_silent"
    if action == _SILENT:
        return "silent"
    if memory.has_run(action):
        return "again"
    request = recognise(view.task.instruction)
    program = parts(action)[0].program if parts(action) else ""
    if name := _sought(view, memory):
        if program == "find" and name in action:
            return "search"
        if program in _LOOKING:
            return "look_around"
    if request is None and program in ("ls", "find") and not last and len(parts(action)) == 1:
        return "search_other"
    if request and request.family.look and program == "head":
        return "look"
    return "answer_found" if memory.turns else "answer_path"


def _names(view: View) -> list[str]:
    """What the request names without a path."""
    request = recognise(view.task.instruction)
    slots = request.slots.items() if request else ()
    named = [value for slot, value in slots if slot in LOCATED or slot == "name"]
    return [value for value in named if not value.startswith("/")]


def _sought(view: View, memory: Memory) -> str:
    """The first name in the request whose place is not known yet; "" if there is none."""
    return next((name for name in _names(view) if memory.place_of(name) is None), "")


def _meaning(action: str, rng: Random) -> Iterator[str]:
    """What the programs, options and signs of ``action`` mean, in order; at least one phrase."""
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
    """The meaning of the options of ``part``; the longest beginning of a word that is known counts."""
    known = {option: said for option, said in _phrases()["syntax"][part.program].items() if option != "does"}
    operators = _phrases()["syntax"]["operators"]
    for word in part.words:
        if word in operators:
            yield rng.choice(operators[word])
        elif option := max((option for option in known if word.startswith(option)), key=len, default=None):
            yield rng.choice(known.pop(option))


def _fitted(start: str, meaning: list[str]) -> str:
    """``start`` with as much of ``meaning`` as there is room for."""
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
    text = files("leap_exp.envs.intercode_bash").joinpath("phrases.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
