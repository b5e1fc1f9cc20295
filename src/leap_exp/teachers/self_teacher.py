"""Self-improvement: the student, with the privileged facts in its prompt, corrects its own trajectories."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.protocols import Student, Teacher
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, Step, Trajectory, View, views

logger = logging.getLogger(__name__)


class Snapshot(StrEnum):
    """Which student teaches."""

    LIVE = "live"
    """π_{i-1}, which made the trajectories."""
    ROUND_0 = "round0"
    """π_0 in all rounds."""
    EMA = "ema"
    """The exponential moving average of the weights of π_0 .. π_{i-1}."""


class SelfTeacher(Teacher):
    """Corrects with the student itself, which reads the briefing in its own prompt.

    A step changes only if the briefed student takes a different and admissible action. Otherwise the student's own
    decision is kept; if that was inadmissible, the correction fails.

    Args:
        snapshot: Which student teaches.
        decay: With ``Snapshot.EMA``, the weight of the previous average, in [0, 1], when a round's student is added.
        min_margin: How much likelier (nats) than the student's own action the other one must be for the briefed
            student, for the step to change; None for no such condition.
        student: The student that teaches; None before round 0 is trained.
    """

    def __init__(
        self, *, snapshot: Snapshot, decay: float, min_margin: float | None = None, student: Student | None = None
    ) -> None:
        self.id = f"self/{snapshot}"
        self._snapshot = snapshot
        self._decay = decay
        self._min_margin = min_margin
        self._student = student

    @property
    def student(self) -> Student:
        """The student that teaches."""
        if self._student is None:
            raise ConfigError("teacher=self has no student to teach with before round 0 is trained.")
        return self._student

    def for_student(self, student: Student, *, round_index: int) -> "SelfTeacher":
        """Return the teacher of the next round.

        Raises:
            ConfigError: ``student`` cannot read a briefing.
        """
        local = student.local
        if type(local).advise is Student.advise:
            local.advise([], [])  # The default raises the error: now, not as a failed correction of each trajectory.
        if round_index == 0 or self._snapshot is Snapshot.LIVE:
            teaching = local
        elif self._snapshot is Snapshot.EMA:
            weights = [self._decay, 1.0 - self._decay]
            teaching = local.averaged([self.student, local], weights, policy_id=f"{local.id}/{self._snapshot}")
        else:
            return self
        return SelfTeacher(snapshot=self._snapshot, decay=self._decay, min_margin=self._min_margin, student=teaching)

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return one correction or failure per trajectory; the student decides on all trajectories in batches."""
        try:
            advice = self._advise(trajectories, briefings)
            return list(map(self._result, trajectories, briefings, advice))
        except Exception as error:  # noqa: BLE001 - one broken trajectory must not cost the round its corrections
            if len(trajectories) > 1:
                return [self.correct([t], [b])[0] for t, b in zip(trajectories, briefings, strict=True)]
            return [self._failure(trajectories[0], f"{type(error).__name__}: {error}")]

    def action_values(
        self, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return how much more likely than its own decision the briefed student finds each action: nats, at most 0.

        The decision was written token by token, so another action can be more likely as a whole; its value is 0 too.
        """
        found: list[list[Mapping[str, float]]] = [[] for _ in corrections]
        for index, (places, batch) in enumerate(views_by_step([correction.trajectory for correction in corrections])):
            logprobs = self.student.action_logprobs(
                batch,
                [candidates[place][index] for place in places],
                reasons=[corrections[place].decisions[index].reason for place in places],
                briefings=[corrections[place].briefing for place in places],
            )
            for place, of_actions in zip(places, logprobs, strict=True):
                own = of_actions[corrections[place].decisions[index].action]
                found[place].append({action: min(0.0, value - own) for action, value in of_actions.items()})
        return found

    def _advise(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> list[list[Decision]]:
        """Return what the briefed student would do at each step, given the student's own history."""
        decisions: list[list[Decision]] = [[] for _ in trajectories]
        for index, (places, batch) in enumerate(views_by_step(trajectories)):
            briefed = [briefings[place] for place in places]
            advice = self.student.advise(batch, briefed)
            if self._min_margin is not None:
                steps = [trajectories[place].steps[index] for place in places]
                advice = self._gated(steps, batch, briefed, advice, self._min_margin)
            for place, decision in zip(places, advice, strict=True):
                decisions[place].append(decision)
        return decisions

    def _gated(
        self,
        steps: Sequence[Step],
        batch: Sequence[View],
        briefings: Sequence[Briefing],
        advice: Sequence[Decision],
        min_margin: float,
    ) -> list[Decision]:
        """Return ``advice`` with the student's own decisions where the other action is not likelier by the margin."""
        compared = [
            [step.action, decision.action] if step.is_valid and step.observation.admits(decision.action) else []
            for step, decision in zip(steps, advice, strict=True)
        ]
        reasons = [decision.reason for decision in advice]
        logprobs = self.student.action_logprobs(batch, compared, reasons=reasons, briefings=briefings)
        return [
            step.listed_decision if pair and of_actions[pair[1]] - of_actions[pair[0]] < min_margin else decision
            for step, decision, pair, of_actions in zip(steps, advice, compared, logprobs, strict=True)
        ]

    def _result(
        self, trajectory: Trajectory, briefing: Briefing, advice: Sequence[Decision]
    ) -> Correction | CorrectionFailure:
        try:
            decisions = list(map(_corrected, trajectory.steps, advice))
        except DataError as error:
            return self._failure(trajectory, str(error))
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing)

    def _failure(self, trajectory: Trajectory, error: str) -> CorrectionFailure:
        logger.warning("No correction of %s: %s", trajectory.task.id, error)
        return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=error)


def views_by_step(trajectories: Sequence[Trajectory]) -> Iterator[tuple[list[int], list[View]]]:
    """Yield the views of all first steps, then of all second steps, and so on, with the indices of their trajectories.

    In this order a student with a key-value cache has already read all but the end of each prompt.
    """
    seen = [views(trajectory) for trajectory in trajectories]
    for index in range(max(map(len, seen), default=0)):
        places = [place for place, its_views in enumerate(seen) if index < len(its_views)]
        yield places, [seen[place][index] for place in places]


def _corrected(step: Step, advice: Decision) -> Decision:
    """Return the advice if its action is different and admissible, otherwise the student's own decision."""
    if advice.action != step.action and step.observation.admits(advice.action):
        return advice
    if not step.is_valid:
        raise DataError(
            f"Neither the student's action {step.decision.action!r} nor the one that it would take with the facts, "
            f"{advice.action!r}, is admissible."
        )
    return step.listed_decision
