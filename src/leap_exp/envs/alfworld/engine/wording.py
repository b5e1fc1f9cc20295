"""The two wordings of the action that puts a thing down: ``put X in/on Y`` in ALFWorld's older games, now ``move``."""

import re
from collections.abc import Sequence

PUT, MOVE = "put", "move"

_TEXTS: Sequence[tuple[str, str]] = (
    ("move {o} to {r}", "put {o} in/on {r}"),
    ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
    ("move (object) to (receptacle)", "put (object) in/on (receptacle)"),
)
"""Texts of the grammar: with ``move``, and with ``put``."""
_NAME = r"[a-z]+ \d+"
_MOVED = re.compile(rf'(?<=")move ({_NAME}) to ({_NAME})(?=")')
_PUT = re.compile(rf'(?<=")put ({_NAME}) in/on ({_NAME})(?=")')
"""Commands of the walkthrough."""


def worded(game_text: str, wording: str) -> str:
    """Return the text of a game file, whichever wording it has, with the wording ``put`` or ``move``."""
    for move, put in _TEXTS:
        old, new = (move, put) if wording == PUT else (put, move)
        game_text = game_text.replace(old, new)
    if wording == PUT:
        return _MOVED.sub(r"put \1 in/on \2", game_text)
    return _PUT.sub(r"move \1 to \2", game_text)
