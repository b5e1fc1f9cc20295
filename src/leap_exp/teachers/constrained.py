"""The constrained privileged teacher: the best action under privilege among those near an unprivileged policy.

Choudhury & Sodhi 2025 trade what privilege is worth against how far it leads away from what the student could do: at
each step this teacher takes the action a that maximises ``value(a) - beta * distance(a)``. The value is what another
teacher, which knows the facts, makes of it; the distance is -log π(a | h) of a policy that does not know them.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import FollowingTeacher, Student, Teacher, ValuingTeacher, WeighingStudent
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, Step, Trajectory
from leap_exp.teachers.reference import Reference, StudentReference, UnbriefedTeacher
from leap_exp.teachers.self_privileged import SelfTeacher

logger = logging.getLogger(__name__)


class ConstrainedTeacher:
    """Corrects as ``inner`` does, as far as that is near enough to what is done without the facts.

    An action's value is what ``inner`` says it is worth (the oracle's: the steps that it leaves to go, negated), or 1
    for the action that ``inner`` takes and 0 for others, where that is all it says.

    Args:
        inner: The privileged teacher.
        beta: What a nat of distance costs, in units of the value, from 0 (``inner`` itself) to infinity (the likeliest
            action of the unprivileged policy).
        by_student: Whether the unprivileged policy is the student that made the trajectories; else it is ``inner``
            without facts.
    """

    def __init__(self, inner: Teacher, *, beta: float, by_student: bool) -> None:
        self.id = f"constrained/{inner.id}"
        self._inner = inner
        self._beta = beta
        self._by_student = by_student
        self._reference: Reference | None = None if by_student else UnbriefedTeacher(inner)

    def follow(self, student: Student, *, round_index: int) -> None:
        """Tell the inner teacher, and take as the unprivileged policy ``student`` or the student that teaches."""
        if isinstance(self._inner, FollowingTeacher):
            self._inner.follow(student, round_index=round_index)
        if not self._by_student:
            if not isinstance(self._inner, SelfTeacher):
                return
            student = self._inner.student
        if not isinstance(student, WeighingStudent):
            raise ConfigError(
                f"teacher=constrained asks how likely a student finds an action, which {student.id!r} cannot say; take "
                "one that is a model at hand, or teacher.inner=oracle with teacher.reference=inner."
            )
        self._reference = StudentReference(student)

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction a trajectory; none where the inner teacher has none."""
        results = [replace(result, teacher_id=self.id) for result in self._inner.correct(trajectories, briefings)]
        corrections = [result for result in results if isinstance(result, Correction)]
        constrained = iter(self._constrain_all(corrections))
        return [next(constrained) if isinstance(result, Correction) else result for result in results]

    def _constrain_all(self, corrections: Sequence[Correction]) -> list[Correction | CorrectionFailure]:
        try:
            return list(self._constrain(corrections)) if corrections else []
        except Exception as error:  # noqa: BLE001 - one broken trajectory must not cost the round its corrections
            if len(corrections) > 1:
                return [result for correction in corrections for result in self._constrain_all([correction])]
            trajectory = corrections[0].trajectory
            logger.warning("No correction of %s: %s", trajectory.task.id, error)
            message = f"{type(error).__name__}: {error}"
            return [CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=message)]

    def _constrain(self, corrections: Sequence[Correction]) -> list[Correction]:
        if self._reference is None:
            raise ConfigError("teacher=constrained has no student to stay near before round 0 is trained.")
        trajectories = [correction.trajectory for correction in corrections]
        decided = self._reference.decide(trajectories)
        candidates = [
            list(map(_candidates, correction.trajectory.steps, correction.decisions, own))
            for correction, own in zip(corrections, decided, strict=True)
        ]
        logprobs = self._reference.logprobs(trajectories, decided, [list(map(list, each)) for each in candidates])
        return [
            self._chosen(correction, its_candidates, its_logprobs)
            for correction, its_candidates, its_logprobs in zip(corrections, candidates, logprobs, strict=True)
        ]

    def _chosen(
        self,
        correction: Correction,
        candidates: Sequence[Mapping[str, Decision]],
        logprobs: Sequence[Mapping[str, float]],
    ) -> Correction:
        """``correction`` with the best candidate of each step; of equals the first, which is the inner teacher's."""
        decisions = []
        for own, values, options, likely in zip(
            correction.decisions, self._values(correction), candidates, logprobs, strict=True
        ):
            worth = values or {own.action: 1.0}
            default = -math.inf if values else 0.0
            best = max(options, key=lambda action: self._merit(worth.get(action, default), likely[action]))
            decisions.append(options[best])
        steps = correction.trajectory.steps
        changed = (decision.action != step.decision.action for decision, step in zip(decisions, steps, strict=True))
        return replace(correction, decisions=tuple(decisions), changed=tuple(changed))

    def _values(self, correction: Correction) -> Sequence[Mapping[str, float]]:
        if isinstance(self._inner, ValuingTeacher):
            return self._inner.values(correction.trajectory, correction.briefing)
        return [{}] * len(correction.decisions)

    def _merit(self, value: float, logprob: float) -> tuple[float, float]:
        """What is maximised; at infinite beta the likelihood decides, and the value between equals."""
        return (logprob, value) if math.isinf(self._beta) else (value + self._beta * logprob, 0.0)


def _candidates(step: Step, privileged: Decision, unprivileged: Decision) -> dict[str, Decision]:
    """The decisions to choose from at ``step``, by their actions, the inner teacher's first.

    These are what the three parties would do or did, as far as it is admissible, and where no text of one's own can be
    given all other admissible actions, for the unprivileged policy's reason, after which they are weighed.
    """
    observation = step.observation
    proposed = [privileged, *(each for each in (step.decision, unprivileged) if observation.admits(each.action))]
    if observation.query_action is None:
        listed = observation.admissible_actions or ()
        proposed += [Decision(reason=unprivileged.reason, action=action) for action in listed]
    candidates: dict[str, Decision] = {}
    for decision in proposed:
        candidates.setdefault(decision.action, decision)
    return candidates
