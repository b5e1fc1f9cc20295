"""The prompts that describe ScienceWorld to models."""

import re

from leap_exp.core.types import Observation
from leap_exp.envs.prompts import read_prompts, shortened

_RULES = (
    (
        re.compile(r"\AThis (?:room|outside location) is called the ([a-z ]+)\. (?:In it, you see|Here you see): ?"),
        r"\1:",
    ),
    (re.compile(r"\n\s+the agent(?=\n|$)"), ""),
    (re.compile(r"\n\s+a substance called air(?=\n|$)"), ""),
    (re.compile(r"\bA door to the ([a-z ]+) \(that is (open|closed)\)"), r"\1 (\2)"),
    (re.compile(r"\bYou also see:"), "Doors:"),
    (re.compile(r"\bcontaining a substance called\b"), "with"),
    (re.compile(r"\ba substance called "), ""),
)


def condense(observation: Observation) -> str:
    """Return the text of an observation without words that all observations of its kind share."""
    return shortened(observation, _RULES)


PROMPTS = read_prompts(__name__, condense=condense)
