"""The expert without privileged facts: it finds the files that the query names, runs the command, and submits."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from leap_exp.core.types import View
from leap_exp.envs.intercode_bash.builtin.families import (
    LOCATED,
    WITHOUT_PLACE,
    ParsedQuery,
    command_slots,
    fill,
    parse_query,
)
from leap_exp.envs.intercode_bash.engine.episode import SUBMIT
from leap_exp.envs.intercode_bash.teaching.heuristics import heuristic_command
from leap_exp.envs.intercode_bash.teaching.memory import Memory, recall
from leap_exp.envs.intercode_bash.teaching.syntax import changes_files, same_command, words

SILENT = "true"
"""Prints nothing. Run after another command, it makes the last output empty again, as the gold command left it."""

_MAX_LISTINGS = 2
"""How many commands that list folders are sound before the search for a name."""
_NOT_SEARCHING = ("-exec", "-execdir", "-ok", "-delete")


def expert_action(view: View, *, starts: Mapping[str, str] | None = None) -> str:
    """Return the expert's next command in ``view``, or ``submit``.

    ``starts`` gives the folder in which to search first, by file name.
    """
    return _NextCommand(view, starts or {}).choices()[0]


def is_sound(view: View, action: str) -> bool:
    """Return whether ``action`` is as good as the expert's, judged by the history alone.

    All ways to search for a name are sound, and so are a few folder listings before it. Commands with the same output
    and the same changes are equally good.
    """
    expert = _NextCommand(view, {})
    return any(same_command(action, choice) for choice in expert.choices()) or expert.is_search(action)


class _NextCommand:
    """The expert's choice in one view."""

    def __init__(self, view: View, starts: Mapping[str, str]) -> None:
        self._memory: Memory = recall(view)
        self._query: ParsedQuery | None = parse_query(view.task.instruction)
        self._text = view.task.instruction
        self._starts = starts

    def choices(self) -> Sequence[str]:
        """Return commands that are equally good, judged by the history; at least one, the preferred one first."""
        query, memory = self._query, self._memory
        if query is None:
            return self._finish((heuristic_command(self._text),), once=False)
        if missing := self._missing(query):
            searches = [search for search in self._searches(missing[0], query) if not memory.has_run(search)]
            # There is nothing to do about a file that no search finds.
            return searches[:1] or [SUBMIT]
        values = self._values(query)
        if query.family.look and "column" not in values:
            look = fill(query.family.look, values)
            return [SUBMIT] if memory.has_run(look) else [look]
        templates = (query.family.gold, *query.family.also)
        return self._finish([fill(template, values) for template in templates], once=query.family.once)

    def is_search(self, action: str) -> bool:
        """Return whether ``action`` is a new search for a name whose path is unknown."""
        query, parsed = self._query, words(action)
        if query is None or not parsed or self._memory.has_run(action) or changes_files(action):
            return False
        missing = self._missing(query)
        places = {"/", query.top, *self._memory.paths} - {""}
        if not missing or any(word in parsed for word in _NOT_SEARCHING):
            return False
        if parsed[0] == "find" and (patterns := re.findall(r" -i?name\s+['\"]?([^\s'\"]+)", action)):
            return parsed[1] in places and any(fnmatchcase(missing[0], pattern) for pattern in patterns)
        return self._is_listing(parsed, places)

    def _is_listing(self, parsed: Sequence[str], places: set[str]) -> bool:
        """Return whether the words list a known folder, and few commands before did."""
        if parsed[0] not in ("ls", "tree", "find") or "|" in parsed:
            return False
        named = [word for word in parsed[1:] if word.startswith(("/", "."))]
        before = sum(words(past.command)[:1] in (("ls",), ("tree",), ("find",)) for past in self._memory.commands)
        return (
            before < _MAX_LISTINGS
            and all(word in places for word in named)
            and not any("name" in word for word in parsed)
        )

    def _finish(self, answers: Sequence[str], *, once: bool) -> Sequence[str]:
        """Return the answers, or ``submit`` after one of them; ``once``: an answer must not be run again."""
        last = self._memory.last
        if last and any(same_command(last.command, answer) for answer in answers):
            return [SUBMIT]
        given = any(self._memory.has_run(answer) for answer in answers)
        if last and given and once:
            # The answer prints nothing, so the last output must be empty again.
            return [SILENT] if last.output.strip() or changes_files(last.command) else [SUBMIT]
        return answers

    def _missing(self, query: ParsedQuery) -> Sequence[str]:
        """Return the names in the query whose path is not known yet, in order."""
        named = [value for slot, value in query.slots.items() if slot in LOCATED and not value.startswith("/")]
        return [name for name in named if self._memory.place_of(name) is None]

    def _searches(self, name: str, query: ParsedQuery) -> Sequence[str]:
        folders = [folder for folder in (self._starts.get(name), query.top) if folder]
        return [f"find {folder} -name {name}" for folder in (*dict.fromkeys(folders), WITHOUT_PLACE, "/")]

    def _values(self, query: ParsedQuery) -> dict[str, str]:
        """Return the values of the slots in the family's commands."""
        values = command_slots(query.slots)
        for slot in LOCATED:
            if slot in values and not values[slot].startswith("/"):
                values[slot] = self._memory.place_of(values[slot]) or values[slot]
        values["base"] = query.top or WITHOUT_PLACE
        if "file" in values:
            values["home"] = posixpath.dirname(values["file"])
        if "heading" in values and (column := self._column(values["file"], values["heading"])):
            values["column"] = str(column)
        return values

    def _column(self, file: str, heading: str) -> int | None:
        """Return the number of the column ``heading``, from 1, if the first line of ``file`` was seen."""
        outputs = [past.output for past in self._memory.commands if file in past.command and not past.failed]
        headers = (line.split(",") for output in outputs for line in output.splitlines())
        return next((header.index(heading) + 1 for header in headers if heading in header), None)
