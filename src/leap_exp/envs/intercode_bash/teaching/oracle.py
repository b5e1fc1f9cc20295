"""The privileged facts of a query, and the scripted expert that uses them as the disclosure allows."""

import posixpath
import re
from functools import cached_property
from itertools import cycle
from random import Random

from leap_exp.core.environments import Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, PrivilegedFacts, View
from leap_exp.envs.disclosure import may_reveal
from leap_exp.envs.intercode_bash.builtin.families import LOCATED, WITHOUT_PLACE, parse_query
from leap_exp.envs.intercode_bash.engine.episode import SUBMIT
from leap_exp.envs.intercode_bash.engine.queries import Query
from leap_exp.envs.intercode_bash.teaching.expert import SILENT, expert_action, is_sound
from leap_exp.envs.intercode_bash.teaching.memory import Memory, recall
from leap_exp.envs.intercode_bash.teaching.reasons import explain, reveal
from leap_exp.envs.intercode_bash.teaching.syntax import changes_files, paths, same_command, top_of

_SHOWN_LINES = 20
"""Maximum lines of the gold command's output in the facts' text."""
_LEFT_OUT = "\n["
"""Starts the note in place of the middle of a long output."""


def privileged_facts(task_id: str, query: Query, output: str) -> PrivilegedFacts:
    """Return the facts: the gold command of ``query`` and its ``output``.

    ``data`` has ``gold``, ``output`` and ``hidden_names``: the paths in the gold command that the query does not
    mention, and the gold command itself. Leading slashes and trailing quotes are cut off, because names are searched
    for in texts as whole words.
    """
    hidden = [path for path in paths(query.gold) if not _mentions(query.text, path)]
    lines = output.rstrip("\n").splitlines()
    if len(lines) > _SHOWN_LINES:
        lines = [*lines[:_SHOWN_LINES], f"[{len(lines) - _SHOWN_LINES} lines more]"]
    printed = "\n".join(lines)
    text = f"Gold command: {query.gold}\n" + (f"It prints:\n{printed}" if printed else "It prints nothing.")
    names = dict.fromkeys(re.sub(r"^\W+|\W+$", "", name) for name in (*hidden, query.gold))
    return PrivilegedFacts(
        task_id=task_id,
        text=text,
        data={"gold": query.gold, "output": output, "hidden_names": [name for name in names if name]},
    )


class BashOracle(Oracle):
    """The scripted expert for ``query``, whose gold command prints ``output``.

    If the gold command is not what the words of the query ask for, ``sought`` is a command with the names that they ask
    for. The expert then looks for these where the files of the gold command are.
    """

    def __init__(self, query: Query, output: str, *, sought: str = "") -> None:
        self._query = query
        self._sought = sought
        self._gold = query.gold
        self._output = output

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the best action in ``view`` under ``disclosure``, with a reason.

        NONE: the action of the expert without facts, or ``taken`` if it is sound. P25: the same, but the expert also
        knows in which part of the tree to search. P50 and P75: the gold command, after searches for the files it
        names. P100: the gold command at once. The reason states the gold command sometimes at P75 and always at P100,
        until the gold command was run.
        """
        memory = recall(view)
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            starts = self._starts if disclosure is Disclosure.P25 else {}
            action = taken if taken is not None and is_sound(view, taken) else expert_action(view, starts=starts)
            return Decision(reason=explain(view, action, rng=rng), action=action)
        action = self._privileged_action(memory, disclosure)
        if action not in (SUBMIT, SILENT) and may_reveal(disclosure, rng):
            return Decision(reason=reveal(self._gold, action, rng=rng), action=action)
        return Decision(reason=explain(view, action, rng=rng), action=action)

    def fits(self, view: View) -> bool:
        """Return whether the gold command, wherever it was run, printed what this expert knows of it."""
        runs = (past for past in recall(view).commands if same_command(past.command, self._gold))
        return all(self._is_gold(past.output) for past in runs)

    @cached_property
    def _starts(self) -> dict[str, str]:
        """Part of the tree to search in, for each name in the gold command."""
        starts = {}
        for path in paths(self._gold):
            folders = path.split("/")[1:-1]
            # Not the file's own folder: that would give the path away.
            part = "/" + "/".join(folders[: min(2, len(folders) - 1)])
            starts[posixpath.basename(path)] = part if part != "/" else top_of(path)
        if self._sought:
            names = (posixpath.basename(path) for path in paths(self._sought))
            starts = dict(zip(names, cycle(starts.values()), strict=False))
        return {name: start for name, start in starts.items() if start != f"/{name}"}

    @cached_property
    def _named(self) -> frozenset[str]:
        """The names and paths of files and folders in a built-in query."""
        parsed = parse_query(self._query.text)
        return frozenset(value for slot, value in parsed.slots.items() if slot in LOCATED) if parsed else frozenset()

    def _privileged_action(self, memory: Memory, disclosure: Disclosure) -> str:
        """Return the gold command, below P100 after searches for its files, and then ``submit``."""
        if self._is_answered(memory):
            return SUBMIT
        if changes_files(self._gold) and not self._output and memory.has_run(self._gold):
            # The changes are made; the last output must be empty, like the gold command's.
            return SILENT
        looks = self._looks(memory) if disclosure is not Disclosure.P100 else ()
        return next((look for look in looks if not memory.has_run(look)), self._gold)

    def _is_answered(self, memory: Memory) -> bool:
        """Return whether submitting now should give the full reward."""
        last = memory.last
        if last is None:
            return False
        if same_command(last.command, self._gold):
            return True
        if changes_files(self._gold):
            return memory.has_run(self._gold) and self._is_gold(last.output) and not changes_files(last.command)
        return self._is_gold(last.output) and not any(changes_files(past.command) for past in memory.commands)

    def _is_gold(self, output: str) -> bool:
        """Return whether ``output``, perhaps shortened, is that of the gold command."""
        head, shortened, _ = output.partition(_LEFT_OUT)
        if shortened and "characters left out]" in output:
            return self._output.startswith(head)
        return output.rstrip() == self._output.rstrip()

    def _looks(self, memory: Memory) -> tuple[str, ...]:
        """Return commands that show the files of the gold command that were not shown yet."""
        gold_paths = paths(self._gold)
        hidden = [path for path in gold_paths if not self._is_shown(path, memory)]
        finds = []
        for path in hidden:
            name, top = posixpath.basename(path), top_of(path)
            finds.append(f"find {WITHOUT_PLACE if path == top else top} -name {name}")
        if finds or parse_query(self._query.text) or not gold_paths:
            return tuple(finds)
        seen = any(gold_paths[0] in past.command for past in memory.commands)
        return () if seen else (f"ls {gold_paths[0]}",)

    def _is_shown(self, path: str, memory: Memory) -> bool:
        """Return whether the query or an output has ``path``, or the query gives the name of a new file there."""
        text = self._query.text
        if _mentions(text, path) or memory.knows(path):
            return True
        folder, name = posixpath.split(path)
        is_new = _mentions(text, name) and name not in self._named
        return is_new and folder != "/" and self._is_shown(folder, memory)


def _mentions(text: str, path: str) -> bool:
    """Return whether ``text`` has ``path``, and not only as the start of another name."""
    return re.search(rf"{re.escape(path)}(?![\w-]|\.\w)", text) is not None
