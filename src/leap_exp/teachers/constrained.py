"""The constrained privileged teacher: the best action under privilege among those near an unprivileged policy.

Choudhury & Sodhi 2025 trade what privilege is worth against how far it leads away from what the student could do: at
each step this teacher takes the action a that maximises ``value(a) - beta * distance(a)``. The value is what another
teacher, which knows the facts, makes of it; the distance is -log π(a | h) of a policy that does not know them.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.protocols import (
    FollowingTeacher,
    Metered,
    MeteredTeacher,
    Student,
    Teacher,
    WeighingStudent,
)
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    DecisionFailure,
    Step,
    Trajectory,
)
from leap_exp.teachers.reference import UNBRIEFED, Reference, StudentReference, UnbriefedTeacher
from leap_exp.teachers.self_privileged import SelfTeacher, in_process
from leap_exp.teachers.worth import worth

logger = logging.getLogger(__name__)


class ConstrainedTeacher:
    """Corrects as ``inner`` does, as far as that is near enough to what is done without the facts.

    An action's value is what ``inner`` says it is worth (the oracle: the steps that it leaves to go, negated; the
    student: its log-probability; a language model: its place in a ranking, negated). Where all it says is what it
    decides, that is worth one more than anything else.

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
        own = in_process(student)
        if not isinstance(own, WeighingStudent):
            raise ConfigError(
                f"teacher=constrained asks how likely a student finds an action, which {student.id!r} cannot say; take "
                "one that is a model at hand, or another teacher within with teacher.reference=inner."
            )
        self._reference = StudentReference(own)

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction a trajectory; none where the inner teacher has none, with facts or as a reference without.

        Raises:
            ProviderError: the inner teacher is a language model that cannot be asked.
        """
        results = [replace(result, teacher_id=self.id) for result in self._inner.correct(trajectories, briefings)]
        corrections = [result for result in results if isinstance(result, Correction)]
        constrained = iter(self._constrain_all(corrections))
        return [next(constrained) if isinstance(result, Correction) else result for result in results]

    def account(self) -> Mapping[str, float]:
        """What the inner teacher used since this was last asked; empty for one that uses nothing."""
        return self._inner.account() if isinstance(self._inner, Metered) else {}

    def forecast(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """What the inner teacher will use, who is asked without facts too if it is the reference."""
        if not isinstance(self._inner, MeteredTeacher):
            return ""
        if not self._by_student:
            trajectories, briefings = [*trajectories, *trajectories], [*briefings, *[UNBRIEFED] * len(briefings)]
        forecast = self._inner.forecast(trajectories, briefings)
        return f"{forecast}; about as many again to rank actions" if forecast else ""

    def _constrain_all(self, corrections: Sequence[Correction]) -> list[Correction | CorrectionFailure]:
        try:
            return self._constrain(corrections) if corrections else []
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001 - one broken trajectory must not cost the round its corrections
            if len(corrections) > 1:
                return [result for correction in corrections for result in self._constrain_all([correction])]
            return [self._failure(corrections[0].trajectory, f"{type(error).__name__}: {error}")]

    def _constrain(self, corrections: Sequence[Correction]) -> list[Correction | CorrectionFailure]:
        if self._reference is None:
            raise ConfigError("teacher=constrained has no student to stay near before round 0 is trained.")
        unprivileged = self._reference.decide([correction.trajectory for correction in corrections])
        pairs = list(zip(corrections, unprivileged, strict=True))
        decided = [(correction, own) for correction, own in pairs if not isinstance(own, DecisionFailure)]
        chosen = iter(self._choose(decided, self._reference))
        return [
            self._failure(correction.trajectory, f"Without facts: {own.error}")
            if isinstance(own, DecisionFailure)
            else next(chosen)
            for correction, own in pairs
        ]

    def _choose(self, pairs: Sequence[tuple[Correction, list[Decision]]], reference: Reference) -> list[Correction]:
        """Each correction with the best candidate of every step; beside it is what ``reference`` decided itself."""
        corrections = [correction for correction, _ in pairs]
        trajectories = [correction.trajectory for correction in corrections]
        candidates = [
            list(map(_candidates, correction.trajectory.steps, correction.decisions, own)) for correction, own in pairs
        ]
        actions = [[list(options) for options in its_candidates] for its_candidates in candidates]
        logprobs = reference.logprobs(trajectories, [own for _, own in pairs], actions)
        values = worth(self._inner, corrections, actions)
        return list(map(self._chosen, corrections, candidates, values, logprobs))

    def _chosen(
        self,
        correction: Correction,
        candidates: Sequence[Mapping[str, Decision]],
        values: Sequence[Mapping[str, float]],
        logprobs: Sequence[Mapping[str, float]],
    ) -> Correction:
        """``correction`` with the best of each step's candidates; of equals the first, the inner teacher's."""
        trajectory = correction.trajectory
        decisions = []
        for options, value, likely in zip(candidates, values, logprobs, strict=True):
            merits = {action: self._merit(value[action], likely[action]) for action in options}
            decisions.append(options[max(options, key=merits.__getitem__)])
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=correction.briefing)

    def _failure(self, trajectory: Trajectory, error: str) -> CorrectionFailure:
        logger.warning("No correction of %s: %s", trajectory.task.id, error)
        return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=error)

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
