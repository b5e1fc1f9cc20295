"""An environment's prompts, from the files beside the code that describes it."""

import re
from collections.abc import Callable, Sequence
from importlib.resources import files

from leap_exp.core.types import EnvironmentPrompts, Observation

Rules = Sequence[tuple[re.Pattern[str], str]]
"""Patterns with their replacements, applied one after the other."""


def shortened(observation: Observation, rules: Rules = ()) -> str:
    """Return the text of an observation after ``rules``."""
    text = observation.text.strip()
    for pattern, short in rules:
        text = pattern.sub(short, text)
    return text


def read_prompts(package: str, *, condense: Callable[[Observation], str] = shortened) -> EnvironmentPrompts:
    """Return the prompts in ``student.j2`` and ``teacher.j2`` of ``package``."""
    folder = files(package)
    student, teacher = (folder.joinpath(f"{name}.j2").read_text(encoding="utf-8") for name in ("student", "teacher"))
    return EnvironmentPrompts(student=student, teacher=teacher, condense=condense)
