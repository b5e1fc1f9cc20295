"""The scripted expert of one request, which uses and discloses what it knows as the disclosure allows."""

from __future__ import annotations

import posixpath
from functools import cached_property
from random import Random

from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, View
from leap_exp.envs.intercode_bash.builtin.asking import WITHOUT_PLACE
from leap_exp.envs.intercode_bash.builtin.families import LOCATED, recognise
from leap_exp.envs.intercode_bash.episode import SUBMIT
from leap_exp.envs.intercode_bash.expert import SILENT, expert_action, is_sound
from leap_exp.envs.intercode_bash.facts import mentions
from leap_exp.envs.intercode_bash.memory import Memory, recall
from leap_exp.envs.intercode_bash.reasons import disclose, explain
from leap_exp.envs.intercode_bash.requests import Request
from leap_exp.envs.intercode_bash.shell_words import changes_files, paths, same_command, top_of

P75_SHARE = 0.25
"""How often a reason at P75 says the gold command."""

_LEFT_OUT = "\n["
"""Where the middle of a long output is left out, a line begins with this."""


class BashOracle:
    """Decides for the views of ``request``, whose gold command prints ``output``; an ``Oracle``."""

    def __init__(self, request: Request, output: str) -> None:
        self._request = request
        self._gold = request.gold
        self._output = output

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """The best action in ``view`` under ``disclosure``, with a reason.

        At NONE it is the history-only expert's. At P25 that expert also knows in which part of the tree to look for
        what is named. Both leave what the student has ``taken`` if that is sound as far as the history tells. From P50
        on it leads to the gold command: at P50 and P75 what the command is about is looked up first, at P100 it is
        given at once; the reason says it now and then at P75, and always at P100, as long as it is still to be given.
        """
        memory = recall(view)
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            starts = self._starts if disclosure is Disclosure.P25 else {}
            action = taken if taken is not None and is_sound(view, taken) else expert_action(view, starts=starts)
            return Decision(reason=explain(view, action, rng=rng), action=action)
        action = self._privileged_action(memory, disclosure)
        if action not in (SUBMIT, SILENT) and _may_tell(disclosure, rng):
            return Decision(reason=disclose(self._gold, action, rng=rng), action=action)
        return Decision(reason=explain(view, action, rng=rng), action=action)

    @cached_property
    def _starts(self) -> dict[str, str]:
        """For the name of what the gold command is about, the part of the tree that it lies in."""
        starts = {}
        for path in paths(self._gold):
            folders = path.split("/")[1:-1]
            # The folder in which it lies itself would be the answer, not a part to search.
            part = "/" + "/".join(folders[: min(2, len(folders) - 1)])
            starts[posixpath.basename(path)] = part if part != "/" else top_of(path)
        return {name: start for name, start in starts.items() if start != f"/{name}"}

    @cached_property
    def _sought(self) -> frozenset[str]:
        """The names of what a built-in request is about, as it says them."""
        read = recognise(self._request.query)
        return frozenset(value for slot, value in read.slots.items() if slot in LOCATED) if read else frozenset()

    def _privileged_action(self, memory: Memory, disclosure: Disclosure) -> str:
        """The gold command, after what leads there below P100, and then ``submit``."""
        if self._is_answered(memory):
            return SUBMIT
        if changes_files(self._gold) and not self._output and memory.has_run(self._gold):
            # It is done; what counts is that the last output is empty again.
            return SILENT
        looks = self._looks(memory) if disclosure is not Disclosure.P100 else ()
        return next((look for look in looks if not memory.has_run(look)), self._gold)

    def _is_answered(self, memory: Memory) -> bool:
        """Whether submitting now is worth what it can be, as far as can be told."""
        last = memory.last
        if last is None:
            return False
        if same_command(last.command, self._gold):
            return True
        if changes_files(self._gold):
            return memory.has_run(self._gold) and self._is_gold(last.output) and not changes_files(last.command)
        return self._is_gold(last.output) and not any(changes_files(turn.command) for turn in memory.turns)

    def _is_gold(self, output: str) -> bool:
        """Whether ``output``, which may be shortened, is that of the gold command."""
        head, shortened, _ = output.partition(_LEFT_OUT)
        if shortened and "characters left out]" in output:
            return self._output.startswith(head)
        return output.rstrip() == self._output.rstrip()

    def _looks(self, memory: Memory) -> tuple[str, ...]:
        """Commands that show what the gold command is about, as far as that was not shown yet."""
        about = paths(self._gold)
        hidden = [path for path in about if not self._is_shown(path, memory)]
        finds = []
        for path in hidden:
            name, top = posixpath.basename(path), top_of(path)
            finds.append(f"find {WITHOUT_PLACE if path == top else top} -name {name}")
        if finds or recognise(self._request.query) or not about:
            return tuple(finds)
        seen = any(about[0] in turn.command for turn in memory.turns)
        return () if seen else (f"ls {about[0]}",)

    def _is_shown(self, path: str, memory: Memory) -> bool:
        """Whether the request or an output has ``path``, or the name that it is to get in a folder that they have."""
        query = self._request.query
        if mentions(query, path) or memory.knows(path):
            return True
        folder, name = posixpath.split(path)
        is_new = mentions(query, name) and name not in self._sought
        return is_new and folder != "/" and self._is_shown(folder, memory)


def _may_tell(disclosure: Disclosure, rng: Random) -> bool:
    return disclosure is Disclosure.P100 or (disclosure is Disclosure.P75 and rng.random() < P75_SHARE)
