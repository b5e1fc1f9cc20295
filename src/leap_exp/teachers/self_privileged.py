"""Self-improvement: the student, told what is hidden, corrects its own trajectories step by step."""

import logging
from collections.abc import Sequence
from enum import StrEnum

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.protocols import BriefableStudent, Student
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, Step, Trajectory
from leap_exp.teachers.steps import together

logger = logging.getLogger(__name__)


class Snapshot(StrEnum):
    """Which student teaches."""

    LIVE = "live"
    """π_{i-1}, the one that made the trajectories."""
    ROUND_0 = "round0"
    """π_0 in all rounds."""
    EMA = "ema"
    """The exponential moving average of the weights of π_0 .. π_{i-1}."""


class SelfTeacher:
    """Corrects with the student that it follows, the briefing in that student's own prompt.

    A step is changed only if the briefed student takes another action there, and one that is admissible; else the
    student's own decision stays. Where that was not admissible either there is no decision to teach, and the
    trajectory is recorded as a failure.

    Args:
        snapshot: Which student teaches.
        decay: With ``Snapshot.EMA``, the share of the average that each round's student leaves in place, in [0, 1].
    """

    def __init__(self, *, snapshot: Snapshot, decay: float) -> None:
        self.id = f"self/{snapshot}"
        self._snapshot = snapshot
        self._decay = decay
        self._student: BriefableStudent | None = None

    @property
    def student(self) -> BriefableStudent:
        """The student that teaches; there is one from round 0 on."""
        if self._student is None:
            raise ConfigError("teacher=self has no student to teach with before round 0 is trained.")
        return self._student

    def follow(self, student: Student, *, round_index: int) -> None:
        """Take ``student``, π_i of round i, as the teacher, leave the one there is, or average the two."""
        if not isinstance(student, BriefableStudent):
            raise ConfigError(
                f"teacher=self asks the student with facts in its prompt, which {student.id!r} cannot be; take "
                "a student that is a model at hand, or another teacher."
            )
        if round_index == 0 or self._snapshot is Snapshot.LIVE:
            self._student = student
        elif self._snapshot is Snapshot.EMA:
            self._student = student.averaged(
                [self.student, student], [self._decay, 1.0 - self._decay], policy_id=f"{student.id}/{self._snapshot}"
            )

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction a trajectory, or the failure to make one; the trajectories' steps are decided on together."""
        try:
            decided = self._advise(trajectories, briefings)
            return list(map(self._result, trajectories, briefings, decided))
        except Exception as error:  # noqa: BLE001 - one broken trajectory must not cost the round its corrections
            if len(trajectories) > 1:
                return [self.correct([t], [b])[0] for t, b in zip(trajectories, briefings, strict=True)]
            return [self._failure(trajectories[0], f"{type(error).__name__}: {error}")]

    def _advise(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> list[list[Decision]]:
        """What the briefed student would do at each step, on the student's own history."""
        decided: list[list[Decision]] = [[] for _ in trajectories]
        for places, views in together(trajectories):
            advice = self.student.advise(views, [briefings[place] for place in places])
            for place, decision in zip(places, advice, strict=True):
                decided[place].append(decision)
        return decided

    def _result(
        self, trajectory: Trajectory, briefing: Briefing, advice: Sequence[Decision]
    ) -> Correction | CorrectionFailure:
        try:
            decisions = tuple(_kept(step, advised) for step, advised in zip(trajectory.steps, advice, strict=True))
        except DataError as error:
            return self._failure(trajectory, str(error))
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing)

    def _failure(self, trajectory: Trajectory, error: str) -> CorrectionFailure:
        logger.warning("No correction of %s: %s", trajectory.task.id, error)
        return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=error)


def _kept(step: Step, advised: Decision) -> Decision:
    """What is taught at ``step``: what is ``advised`` if it is another admissible action, else the student's own."""
    if advised.action != step.decision.action and step.observation.admits(advised.action):
        return advised
    if not step.is_valid:
        raise DataError(
            f"Neither the student's {step.decision.action!r} nor what it would do with the facts, {advised.action!r}, "
            "is admissible."
        )
    return step.decision
