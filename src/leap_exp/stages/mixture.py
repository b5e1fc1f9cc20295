"""Mixture: the teacher takes some steps of the student's episodes (DAgger's π_i of Ross et al. 2011, section 3).

The states are then a mixture of those that student and teacher visit. The record says who took each step; only the
student's own count as mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from leap_exp.core.environments import Environment
from leap_exp.core.errors import LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy, Teacher
from leap_exp.core.seeding import SEED_BITS, derive_seed
from leap_exp.core.types import (
    NO_ACTION,
    Briefing,
    Correction,
    Decision,
    DecisionFailure,
    Step,
    StopReason,
    Task,
    Trajectory,
    View,
)
from leap_exp.stages.correct import brief

_UNDECIDED = Decision(reason="", action=f"{NO_ACTION} ''")


class Schedule(StrEnum):
    """How the teacher's share β_i changes over the rounds i = 1..N, given β."""

    CONSTANT = "constant"
    """β in every round."""
    LINEAR = "linear"
    """β · (N + 1 - i) / N: β in the first round, then less by the same amount each round, to β / N in the last."""
    EXPONENTIAL = "exponential"
    """β to the power of i, as in Ross et al., whose first iteration, with the expert alone, is round 0 here."""


class TeacherSteps(StrEnum):
    """Which steps the teacher takes. At every step a coin falls to the teacher with probability β_i."""

    RANDOM = "random"
    """Each step whose own coin falls to the teacher."""
    FIRST = "first"
    """All steps before the first coin that falls to the student, who then acts alone."""
    LAST = "last"
    """All steps from the first coin on that falls to the teacher, who then acts to the end."""


def teacher_share(share: float, schedule: Schedule, *, round_index: int, rounds: int) -> float:
    """Return β_i, the probability that a coin falls to the teacher in round ``round_index`` of ``rounds``."""
    if schedule is Schedule.LINEAR:
        return share * (rounds + 1 - round_index) / rounds
    return share**round_index if schedule is Schedule.EXPONENTIAL else share


def teacher_metrics(stage: str, trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return the share of steps that a teacher took as a metric of ``stage``, if it took any."""
    taken = [bool(step.taken_by) for trajectory in trajectories for step in trajectory.steps]
    return {f"{stage}/teacher_share": sum(taken) / len(taken)} if any(taken) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A teacher that takes some of a policy's steps.

    Attributes:
        teacher: Who takes them, briefed with the task's facts.
        environment: Whose facts they are.
        disclosure: The rule for using them.
        share: β_i, in [0, 1].
        steps: Which steps.
    """

    teacher: Teacher
    environment: Environment
    disclosure: Disclosure
    share: float
    steps: TeacherSteps
    _briefings: dict[str, Briefing | None] = field(default_factory=dict)

    def decide(
        self, policy: Policy, views: Sequence[View], *, seed: int
    ) -> list[tuple[Decision | DecisionFailure, str]]:
        """Return a decision per view, and the teacher's id where it is the teacher's.

        Where the teacher has no decision, ``policy`` takes the step.
        """
        briefed = [(place, self._brief(view.task)) for place, view in enumerate(views) if self._is_taken(view, seed)]
        places = [place for place, briefing in briefed if briefing is not None]
        briefings = [briefing for _, briefing in briefed if briefing is not None]
        advice = ask(self.teacher, [views[place] for place in places], briefings, seed=seed)
        taken = {place: decision for place, decision in zip(places, advice, strict=True) if decision is not None}
        others = [place for place in range(len(views)) if place not in taken]
        decisions = policy.act([views[place] for place in others], seed=seed) if others else []
        own = dict(zip(others, decisions, strict=True))
        return [(taken[p], self.teacher.id) if p in taken else (own[p], "") for p in range(len(views))]

    def _is_taken(self, view: View, seed: int) -> bool:
        """Whether the step belongs to the teacher: decided by seed, task, step and sample alone."""
        sample = [view.sample] if view.sample else []
        coins = [
            derive_seed(seed, "teacher", view.task.id, step, *sample) < self.share * (1 << SEED_BITS)
            for step in range(len(view.history) + 1)
        ]
        match self.steps:
            case TeacherSteps.RANDOM:
                return coins[-1]
            case TeacherSteps.FIRST:
                return all(coins)
            case TeacherSteps.LAST:
                return any(coins)

    def _brief(self, task: Task) -> Briefing | None:
        """Return the teacher's briefing, or None if there are no facts about ``task``."""
        if task.id not in self._briefings:
            try:
                self._briefings[task.id] = brief(self.environment, task, self.disclosure)
            except LeapError:  # Correcting the episode will record it.
                self._briefings[task.id] = None
        return self._briefings[task.id]


def ask(teacher: Teacher, views: Sequence[View], briefings: Sequence[Briefing], *, seed: int) -> list[Decision | None]:
    """Return what ``teacher`` would do in each view, or None where it has no decision.

    It is asked to correct an episode whose last step has no action yet.
    """
    if not views:
        return []
    pending = [
        Trajectory(
            task=view.task,
            policy_id=teacher.id,
            seed=seed,
            steps=(*view.history, Step(observation=view.observation, decision=_UNDECIDED, reward=0.0)),
            stop=StopReason.STEP_LIMIT,
            score=0.0,
            sample=view.sample,
        )
        for view in views
    ]
    results = teacher.correct_steps(pending, briefings, [[len(view.history)] for view in views])
    return [result.decisions[-1] if isinstance(result, Correction) else None for result in results]
