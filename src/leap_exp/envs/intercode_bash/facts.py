"""What is hidden from the student: the gold command and its output, as text for a teacher and as data for a program."""

from __future__ import annotations

import re

from leap_exp.core.types import PrivilegedFacts
from leap_exp.envs.intercode_bash.requests import Request
from leap_exp.envs.intercode_bash.shell_words import paths

_SHOWN_LINES = 20


def privileged_facts(task_id: str, request: Request, output: str) -> PrivilegedFacts:
    """What is hidden in ``request``, whose gold command prints ``output``.

    ``data`` has ``gold``, ``output``, and ``hidden_names``: the paths in the gold command that the request does not
    mention, and the gold command itself. They are without the slash at their beginning and quotes at their end, since
    names are looked for in texts as whole words.
    """
    hidden = [path for path in paths(request.gold) if not mentions(request.query, path)]
    lines = output.rstrip("\n").splitlines()
    if len(lines) > _SHOWN_LINES:
        lines = [*lines[:_SHOWN_LINES], f"[{len(lines) - _SHOWN_LINES} lines more]"]
    printed = "\n".join(lines)
    text = f"Gold command: {request.gold}\n" + (f"It prints:\n{printed}" if printed else "It prints nothing.")
    names = dict.fromkeys(re.sub(r"^\W+|\W+$", "", name) for name in (*hidden, request.gold))
    return PrivilegedFacts(
        task_id=task_id,
        text=text,
        data={"gold": request.gold, "output": output, "hidden_names": [name for name in names if name]},
    )


def mentions(text: str, path: str) -> bool:
    """Whether ``text`` has ``path``, and not only as the beginning of another name."""
    return re.search(rf"{re.escape(path)}(?![\w-]|\.\w)", text) is not None
