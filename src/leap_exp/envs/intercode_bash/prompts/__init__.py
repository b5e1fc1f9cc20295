"""How models are told about InterCode-Bash."""

from importlib.resources import files

from leap_exp.core.types import EnvironmentPrompts

PROMPTS = EnvironmentPrompts(
    student=files(__name__).joinpath("student.j2").read_text(encoding="utf-8"),
    teacher=files(__name__).joinpath("teacher.j2").read_text(encoding="utf-8"),
)
