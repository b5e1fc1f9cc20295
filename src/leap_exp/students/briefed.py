"""A student that reads the privileged facts while it acts, to measure what they are worth to it."""

from collections.abc import Sequence

from leap_exp.core.environments import Environment
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy, Student
from leap_exp.core.types import Briefing, Decision, DecisionFailure, View


class BriefedPolicy(Policy):
    """Acts as ``student`` does with the environment's facts in its prompt. For measures only, never for training."""

    def __init__(self, student: Student, environment: Environment, disclosure: Disclosure) -> None:
        self.id = f"{student.id}/briefed"
        self._student = student
        self._environment = environment
        self._disclosure = disclosure

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:  # noqa: ARG002 - it draws nothing
        """Return the likeliest decision for each view, given its task's facts."""
        briefings = [
            Briefing(disclosure=self._disclosure, facts=self._environment.privileged(view.task)) for view in views
        ]
        return self._student.advise(views, briefings)
