"""Observations in fewer words: what they only repeat of the action that led to them is left out.

A reader of a transcript loses nothing by it, for the action stands on the line above. A model reads, and is trained on,
about half as many tokens.
"""

import re
from collections.abc import Mapping, Sequence

Rule = tuple[re.Pattern[str], str]

_NAME = r"[a-z]+ \d+"
_ALFWORLD: Sequence[Rule] = (
    (re.compile(r"\A-= Welcome to TextWorld, ALFRED! =-\s*"), ""),
    (re.compile(r"\AYou are in the middle of a room\. Looking quickly around you, you see"), "Room:"),
    (re.compile(r"\n+Your task is to: "), "\nTask: "),
    (re.compile(rf"\AYou arrive at ({_NAME})\. On the \1, you see"), "You see"),
    (re.compile(rf"\AYou (?:arrive at|open the) ({_NAME})\. The \1 is open\. In it, you see"), "You see"),
    (re.compile(rf"\AYou arrive at ({_NAME})\. The \1 is closed\.\Z"), "Closed."),
    (re.compile(rf"\AYou (?:pick up|move|put|clean|heat|cool|turn on|close|slice) the {_NAME}\b[^.]*\.\Z"), "Done."),
    (re.compile(rf",? and an? (?={_NAME})"), ", "),
    (re.compile(rf"\ban? (?={_NAME})"), ""),
)
_RULES: Mapping[str, Sequence[Rule]] = {"alfworld": _ALFWORLD}


def condense(text: str, *, environment: str) -> str:
    """``text``, an observation of ``environment``, in fewer words; as it is for an environment without rules."""
    for pattern, short in _RULES.get(environment, ()):
        text = pattern.sub(short, text)
    return text
