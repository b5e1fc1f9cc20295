"""An agent that knows only its history: it finds what the request names, gives the command, and submits."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from leap_exp.core.types import View
from leap_exp.envs.intercode_bash.builtin.asking import WITHOUT_PLACE
from leap_exp.envs.intercode_bash.builtin.families import LOCATED, Recognised, command_slots, fill, recognise
from leap_exp.envs.intercode_bash.episode import SUBMIT
from leap_exp.envs.intercode_bash.guesses import guess
from leap_exp.envs.intercode_bash.memory import Memory, recall
from leap_exp.envs.intercode_bash.shell_words import changes_files, same_command, words

SILENT = "true"
"""Does and prints nothing: after a look around it makes the last output that of a command which changed files."""

_LOOKS = 2
"""How often one may look around before the search for a name."""
_NOT_SEARCHING = ("-exec", "-execdir", "-ok", "-delete")


def expert_action(view: View, *, starts: Mapping[str, str] | None = None) -> str:
    """The next command towards an answer to the request in ``view``, or ``submit``.

    ``starts`` says for names in which folder to look for them first.
    """
    return _Turn(view, starts or {}).ways()[0]


def is_sound(view: View, action: str) -> bool:
    """Whether ``action`` is as good as the expert's, as far as the history of ``view`` tells.

    How a name is searched for is a matter of taste, and so is a first look around; of the commands that print and
    change the same, one is as good as another.
    """
    turn = _Turn(view, {})
    ways = turn.ways()
    return any(same_command(action, way) for way in ways) or turn.is_search(action)


class _Turn:
    """One decision. ``ways`` returns commands that are equally good as far as the history tells, the best first."""

    def __init__(self, view: View, starts: Mapping[str, str]) -> None:
        self.memory: Memory = recall(view)
        self._request: Recognised | None = recognise(view.task.instruction)
        self._query = view.task.instruction
        self._starts = starts

    def ways(self) -> Sequence[str]:
        """The commands that serve the request now; at least one."""
        request, memory = self._request, self.memory
        if request is None:
            return self._finish((guess(self._query),), once=False)
        for name in self._missing(request):
            searches = [search for search in self._searches(name, request) if not memory.has_run(search)]
            # What cannot be found anywhere cannot be dealt with.
            return searches[:1] or [SUBMIT]
        values = self._values(request)
        if request.family.look and "column" not in values:
            look = fill(request.family.look, values)
            return [SUBMIT] if memory.has_run(look) else [look]
        templates = (request.family.gold, *request.family.also)
        return self._finish([fill(template, values) for template in templates], once=request.family.once)

    def is_search(self, action: str) -> bool:
        """Whether ``action`` looks, in a new way, for something whose place is still unknown."""
        request, said = self._request, words(action)
        if request is None or not said or self.memory.has_run(action) or changes_files(action):
            return False
        missing = self._missing(request)
        places = {"/", request.top, *self.memory.paths} - {""}
        if not missing or any(word in said for word in _NOT_SEARCHING):
            return False
        if said[0] == "find" and (patterns := re.findall(r" -i?name\s+['\"]?([^\s'\"]+)", action)):
            return said[1] in places and any(fnmatchcase(missing[0], pattern) for pattern in patterns)
        return self._is_look(said, places)

    def _is_look(self, said: Sequence[str], places: set[str]) -> bool:
        """Whether the words list a folder, and not too many were listed before."""
        if said[0] not in ("ls", "tree", "find") or "|" in said:
            return False
        named = [word for word in said[1:] if word.startswith(("/", "."))]
        before = sum(words(turn.command)[:1] in (("ls",), ("tree",), ("find",)) for turn in self.memory.turns)
        return before < _LOOKS and all(word in places for word in named) and not any("name" in word for word in said)

    def _finish(self, answers: Sequence[str], *, once: bool) -> Sequence[str]:
        """Give an answer, or submit it."""
        last = self.memory.last
        if last and any(same_command(last.command, answer) for answer in answers):
            return [SUBMIT]
        given = any(self.memory.has_run(answer) for answer in answers)
        if last and given and once:
            # A second time it would fail; what counts is that the last output is empty again.
            return [SILENT] if last.output.strip() or changes_files(last.command) else [SUBMIT]
        return answers

    def _missing(self, request: Recognised) -> Sequence[str]:
        """What the request names without a path and no output has shown, in the order in which it is named."""
        named = [value for slot, value in request.slots.items() if slot in LOCATED and not value.startswith("/")]
        return [name for name in named if self.memory.place_of(name) is None]

    def _searches(self, name: str, request: Recognised) -> Sequence[str]:
        started = [start for start in (self._starts.get(name), request.top) if start]
        return [f"find {start} -name {name}" for start in (*dict.fromkeys(started), WITHOUT_PLACE, "/")]

    def _values(self, request: Recognised) -> dict[str, str]:
        """What stands in the slots of the family's commands."""
        values = command_slots(request.slots)
        for slot in LOCATED:
            if slot in values and not values[slot].startswith("/"):
                values[slot] = self.memory.place_of(values[slot]) or values[slot]
        values["base"] = request.top or WITHOUT_PLACE
        if "file" in values:
            values["home"] = posixpath.dirname(values["file"])
        if "heading" in values and (column := self._column(values["file"], values["heading"])):
            values["column"] = str(column)
        return values

    def _column(self, file: str, heading: str) -> int | None:
        """The number of the column with ``heading``, if the first line of ``file`` was seen."""
        outputs = [turn.output for turn in self.memory.turns if file in turn.command and not turn.failed]
        headers = (line.split(",") for output in outputs for line in output.splitlines())
        return next((header.index(heading) + 1 for header in headers if heading in header), None)
