"""What actions are worth to a teacher, whatever kind it is of."""

import math
from collections.abc import Mapping, Sequence

from leap_exp.core.protocols import Teacher, ValuingTeacher
from leap_exp.core.types import Correction, Decision


def worth(
    teacher: Teacher, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
) -> list[list[dict[str, float]]]:
    """What ``teacher`` finds each of a step's ``candidates`` worth, at each step of its own ``corrections``.

    In its own unit; where it does not say more than what it decides, that is 0 and anything else -1.
    """
    if isinstance(teacher, ValuingTeacher):
        values = teacher.values(corrections, candidates)
    else:
        values = [[{}] * len(correction.decisions) for correction in corrections]
    return [
        list(map(_completed, known, correction.decisions, actions))
        for known, correction, actions in zip(values, corrections, candidates, strict=True)
    ]


def _completed(known: Mapping[str, float], own: Decision, candidates: Sequence[str]) -> dict[str, float]:
    """A value for every one of ``candidates``, where some or all are ``known``."""
    if known:
        return {action: known.get(action, -math.inf) for action in candidates}
    return {action: 0.0 if action == own.action else -1.0 for action in candidates}
