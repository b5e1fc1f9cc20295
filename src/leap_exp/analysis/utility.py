"""Utility of facts: how much better a student acts that reads the privileged facts, from the same starts.

    utility = mean over tasks of (success briefed - success unbriefed)   [in [-1, 1]]

with the same tasks, episode seeds and step limit. It is what the facts are worth to this student at this time: one that
has not learned to use facts has utility 0, however much they say.
"""

from collections.abc import Sequence

from leap_exp.analysis.run import success_by_task
from leap_exp.analysis.statistics import Comparison, compare
from leap_exp.core.types import Trajectory


def utility_of_facts(briefed: Sequence[Trajectory], unbriefed: Sequence[Trajectory]) -> Comparison | None:
    """Return the utility as a comparison paired by task; None if no task was scored in both.

    ``before`` is the success without facts, ``after`` that with them, ``difference`` the utility.
    """
    return compare([success_by_task(briefed)], [success_by_task(unbriefed)])
