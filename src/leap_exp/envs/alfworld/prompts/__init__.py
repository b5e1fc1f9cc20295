"""The instructions about ALFWorld that models read."""

import re

from leap_exp.core.types import Observation
from leap_exp.envs.prompts import read_prompts, shortened

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
    return shortened(observation, _RULES)


PROMPTS = read_prompts(__name__, condense=condense)
