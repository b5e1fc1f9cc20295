"""A cache of game files as they were read, so that opening a game again is faster.

Entries are files named by the digest of the game file's text. Each has its own digest, a line of JSON with what a list
of tasks needs, and one with the rest. If anything is wrong with an entry, the game file is read again and the entry is
replaced. Writing is atomic, and all processes write the same, so they can share the cache.
"""

import hashlib
import json
import logging
import threading
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

from leap_exp.envs.alfworld.engine.game import (
    Game,
    Source,
    build_game,
    naming,
    read_source,
    read_summary,
    summarize,
)
from leap_exp.envs.alfworld.engine.problem import Problem
from leap_exp.runs import cache_folder, process_name

logger = logging.getLogger(__name__)

_FORMAT = 1
"""To be raised whenever ``Source`` or ``Problem`` change, or what is read from a file."""

_MISSING_OR_BROKEN = (OSError, ValueError, KeyError, TypeError)
"""Errors of reading an entry."""

_DIGEST = 64
"""Hexadecimal digits of a digest."""


def read_cached_game(text: str, *, game_id: str) -> Game:
    """Return what ``read_game`` does, from the cache if it has the game; else add it.

    Raises:
        DataError: The fast engine cannot play the game.
    """
    with naming(game_id):
        path = _path(text)
        source = _load(path)
        if source is None:
            source = read_source(text)
            _store(path, source)
        return build_game(source, game_id)


def read_cached_summary(text: str, *, game_id: str) -> tuple[str, str]:
    """Return what ``read_summary`` does, from the cache if it has the game.

    Raises:
        DataError: The text is not a game.
    """
    try:
        summary = json.loads(_checked(_path(text)).partition("\n")[0])
        return summarize(summary["task_text"], summary["goal"])
    except _MISSING_OR_BROKEN:
        return read_summary(text, game_id=game_id)


def _path(text: str) -> Path:
    return Path(f"{cache_folder()}/alfworld_games/format_{_FORMAT}/{_digest(text)}.json")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _load(path: Path) -> Source | None:
    """Return the game at ``path``, or None if it is missing or broken."""
    try:
        summary, data = map(json.loads, _checked(path).split("\n"))
        return Source(
            grammar=_grammar(path.parent, data["grammar"]),
            task_text=summary["task_text"],
            walkthrough=tuple(data["walkthrough"]),
            problem=Problem(goal=summary["goal"], **data["problem"]),
        )
    except _MISSING_OR_BROKEN:
        return None


@lru_cache(maxsize=16)
def _grammar(folder: Path, digest: str) -> str:
    """Return a grammar. Most games have the same, so entries name it by its digest."""
    return _checked(folder / f"{digest}.twl2")


def _has_grammar(folder: Path, digest: str) -> bool:
    try:
        return bool(_grammar(folder, digest))
    except _MISSING_OR_BROKEN:
        return False


def _checked(path: Path) -> str:
    """Return the text of an entry; raises ValueError if it is broken."""
    content = path.read_text(encoding="utf-8")
    digest, text = content[:_DIGEST], content[_DIGEST:]
    if digest != _digest(text):
        raise ValueError(f"{path} is broken")
    return text


def _store(path: Path, source: Source) -> None:
    """Write a game to ``path`` and its grammar beside it. A cache that cannot be written is done without."""
    grammar, problem = _digest(source.grammar), source.problem
    summary = {"task_text": source.task_text, "goal": problem.goal}
    rest = {
        "grammar": grammar,
        "walkthrough": source.walkthrough,
        "problem": {field.name: getattr(problem, field.name) for field in fields(Problem) if field.name != "goal"},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _has_grammar(path.parent, grammar):
            _write(path.parent / f"{grammar}.twl2", source.grammar)
        _write(path, f"{json.dumps(summary)}\n{json.dumps(rest, separators=(',', ':'))}")
    except OSError as error:
        logger.info("The game is not kept in the cache, because %s cannot be written: %s", path, error)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{process_name()}.{threading.get_ident()}.part")
    part.write_text(_digest(text) + text, encoding="utf-8")
    part.replace(path)
