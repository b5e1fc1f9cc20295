"""The maximum number of steps of episodes."""

from collections.abc import Mapping
from dataclasses import dataclass

from leap_exp.core.types import Task

StepLimit = int | Mapping[str, int]
"""The maximum number of steps of an episode: one number or, if several environments are joined, one for each."""


def step_limit(limit: StepLimit, task: Task) -> int:
    """Return the maximum number of steps of an episode of ``task``."""
    return limit if isinstance(limit, int) else limit[task.environment]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """The maximum steps of episodes: a number or, if several environments are joined, one for each by its name."""

    train: StepLimit
    evaluate: StepLimit
