"""The instructions about ALFWorld that models read."""

import re
from importlib.resources import files

from leap_exp.core.types import EnvironmentPrompts, Observation

_NAME = r"[a-z]+ \d+"
_RULES = (
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


def condense(observation: Observation) -> str:
    """Return the text of an observation without the words that only repeat the previous command."""
    text = observation.text.strip()
    for pattern, short in _RULES:
        text = pattern.sub(short, text)
    return text


PROMPTS = EnvironmentPrompts(
    student=files(__name__).joinpath("student.j2").read_text(encoding="utf-8"),
    teacher=files(__name__).joinpath("teacher.j2").read_text(encoding="utf-8"),
    condense=condense,
)
