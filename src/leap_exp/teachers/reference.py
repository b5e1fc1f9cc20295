"""What an unprivileged policy would do, for a teacher that is to stay near it."""

from collections.abc import Sequence
from typing import Protocol

from leap_exp.core.errors import DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Teacher, WeighingStudent
from leap_exp.core.types import Briefing, CorrectionFailure, Decision, DecisionFailure, Trajectory
from leap_exp.teachers.steps import together

UNBRIEFED = Briefing(disclosure=Disclosure.NONE, facts=None)


class Reference(Protocol):
    """An unprivileged policy, asked about the steps of trajectories."""

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision]]:
        """What it would do itself at each step."""

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],
        decided: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> list[list[dict[str, float]]]:
        """Log-probability (nats) of each of a step's ``actions``, where ``decided`` is what it would do itself."""


class StudentReference:
    """The student without facts: it has a probability for every action, after the reason that it gives itself."""

    def __init__(self, student: WeighingStudent) -> None:
        self._student = student

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision]]:
        """The student's decisions on the histories of ``trajectories``.

        Raises:
            DataError: It has none.
        """
        decided: list[list[Decision]] = [[] for _ in trajectories]
        for places, views in together(trajectories):
            for place, decision in zip(places, self._student.act(views, seed=0), strict=True):
                if isinstance(decision, DecisionFailure):
                    raise DataError(f"Without facts: {decision.error}")
                decided[place].append(decision)
        return decided

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],
        decided: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> list[list[dict[str, float]]]:
        """What the student gives each action."""
        found: list[list[dict[str, float]]] = [[] for _ in trajectories]
        for index, (places, views) in enumerate(together(trajectories)):
            weighed = self._student.action_logprobs(
                views,
                [actions[place][index] for place in places],
                reasons=[decided[place][index].reason for place in places],
            )
            for place, values in zip(places, weighed, strict=True):
                found[place].append(dict(values))
        return found


class UnbriefedTeacher:
    """A teacher without facts that only decides: its own action is taken for certain, any other lies one nat off."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision]]:
        """The teacher's corrections at ``Disclosure.NONE``.

        Raises:
            DataError: It has none of a trajectory.
        """
        results = self._teacher.correct(trajectories, [UNBRIEFED] * len(trajectories))
        for result in results:
            if isinstance(result, CorrectionFailure):
                raise DataError(f"Without facts: {result.error}")
        return [list(result.decisions) for result in results if not isinstance(result, CorrectionFailure)]

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],  # noqa: ARG002 - what was decided says it all
        decided: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> list[list[dict[str, float]]]:
        """0 for what the teacher decided, -1 for anything else."""
        return [
            [
                {action: 0.0 if action == decision.action else -1.0 for action in asked}
                for decision, asked in zip(decisions, its_actions, strict=True)
            ]
            for decisions, its_actions in zip(decided, actions, strict=True)
        ]
