"""What an unprivileged policy would do, for a teacher that is to stay near it."""

from collections.abc import Sequence
from typing import Protocol

from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Teacher, WeighingStudent
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, DecisionFailure, Trajectory
from leap_exp.teachers.steps import together
from leap_exp.teachers.worth import worth

UNBRIEFED = Briefing(disclosure=Disclosure.NONE, facts=None)


class Reference(Protocol):
    """An unprivileged policy, asked about the steps of trajectories."""

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision] | DecisionFailure]:
        """What it would do itself at each step; a failure for a trajectory in which it cannot say."""

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

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision] | DecisionFailure]:
        """The student's decisions on the histories of ``trajectories``."""
        decided: list[list[Decision]] = [[] for _ in trajectories]
        failed: dict[int, DecisionFailure] = {}
        for places, views in together(trajectories):
            for place, decision in zip(places, self._student.act(views, seed=0), strict=True):
                if isinstance(decision, DecisionFailure):
                    failed[place] = decision
                else:
                    decided[place].append(decision)
        return [failed.get(place, decisions) for place, decisions in enumerate(decided)]

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
    """A teacher without facts, which has no probabilities: what it finds worse by one lies one nat off."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision] | DecisionFailure]:
        """The teacher's corrections at ``Disclosure.NONE``."""
        results = self._teacher.correct(trajectories, [UNBRIEFED] * len(trajectories))
        return [
            DecisionFailure(error=result.error) if isinstance(result, CorrectionFailure) else list(result.decisions)
            for result in results
        ]

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],
        decided: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> list[list[dict[str, float]]]:
        """What the teacher without facts finds each action worth, from 0 for its own decision down."""
        own = [
            Correction.of(trajectory, decisions, teacher_id=self._teacher.id, briefing=UNBRIEFED)
            for trajectory, decisions in zip(trajectories, decided, strict=True)
        ]
        return worth(self._teacher, own, actions)
