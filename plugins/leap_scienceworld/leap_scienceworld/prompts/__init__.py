"""The prompts that describe ScienceWorld to models."""

import re
from importlib.resources import files

from leap_exp.core.types import EnvironmentPrompts, Observation

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
    text = observation.text.strip()
    for pattern, short in _RULES:
        text = pattern.sub(short, text)
    return text


PROMPTS = EnvironmentPrompts(
    student=files(__name__).joinpath("student.j2").read_text(encoding="utf-8"),
    teacher=files(__name__).joinpath("teacher.j2").read_text(encoding="utf-8"),
    condense=condense,
)
