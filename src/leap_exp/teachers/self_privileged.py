"""Self-improvement: the student, told what is hidden, corrects its own trajectories step by step."""

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.protocols import BriefableStudent, ServedStudent, Student
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
        own = in_process(student)
        if not isinstance(own, BriefableStudent):
            raise ConfigError(
                f"teacher=self asks the student with facts in its prompt, which {student.id!r} cannot be; take "
                "a student that is a model at hand, or another teacher."
            )
        if round_index == 0 or self._snapshot is Snapshot.LIVE:
            self._student = own
        elif self._snapshot is Snapshot.EMA:
            self._student = own.averaged(
                [self.student, own], [self._decay, 1.0 - self._decay], policy_id=f"{own.id}/{self._snapshot}"
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

    def values(
        self, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """How much likelier than its own decision the briefed student finds each action, in nats and at most 0.

        An action that it finds likelier as a whole than what it wrote token by token is worth as much as that.
        """
        found: list[list[Mapping[str, float]]] = [[] for _ in corrections]
        for index, (places, views) in enumerate(together([correction.trajectory for correction in corrections])):
            weighed = self.student.action_logprobs(
                views,
                [candidates[place][index] for place in places],
                reasons=[corrections[place].decisions[index].reason for place in places],
                briefings=[corrections[place].briefing for place in places],
            )
            for place, logprobs in zip(places, weighed, strict=True):
                own = corrections[place].decisions[index].action
                found[place].append({action: min(0.0, value - logprobs[own]) for action, value in logprobs.items()})
        return found

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


def in_process(student: Student) -> Student:
    """``student``, computed here even if it acts elsewhere."""
    return student.in_process if isinstance(student, ServedStudent) else student


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
