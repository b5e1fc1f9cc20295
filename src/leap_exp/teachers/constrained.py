"""The constrained privileged teacher: the best action under privilege among those near an unprivileged policy.

Choudhury & Sodhi 2025 trade the value of privilege against the distance to what the student could do: at each step this
teacher takes the action a that maximises ``value(a) - beta * distance(a)``. The value is that of a teacher which knows
the facts; the distance is -log π(a | h) of a policy which does not.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Student, Teacher
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, DecisionFailure, Step, Trajectory
from leap_exp.teachers.self_teacher import SelfTeacher, views_by_step

logger = logging.getLogger(__name__)

UNBRIEFED = Briefing(disclosure=Disclosure.NONE, facts=None)


class Reference(Protocol):
    """The unprivileged policy, applied to the steps of trajectories."""

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision] | DecisionFailure]:
        """Return its own decisions at the steps of each trajectory, or why it has none."""

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],
        decisions: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return the log-probability (nats) of each of a step's ``actions``; ``decisions`` are its own."""


class StudentReference:
    """The student without facts. It gives every action a probability, after its own reason."""

    def __init__(self, student: Student) -> None:
        self._student = student

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision] | DecisionFailure]:
        """Return the student's decisions given the histories of ``trajectories``."""
        decisions: list[list[Decision]] = [[] for _ in trajectories]
        failures: dict[int, DecisionFailure] = {}
        for places, batch in views_by_step(trajectories):
            for place, decision in zip(places, self._student.act(batch, seed=0), strict=True):
                if isinstance(decision, DecisionFailure):
                    failures[place] = decision
                else:
                    decisions[place].append(decision)
        return [failures.get(place, its_decisions) for place, its_decisions in enumerate(decisions)]

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],
        decisions: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return the student's log-probabilities."""
        found: list[list[Mapping[str, float]]] = [[] for _ in trajectories]
        for index, (places, batch) in enumerate(views_by_step(trajectories)):
            logprobs = self._student.action_logprobs(
                batch,
                [actions[place][index] for place in places],
                reasons=[decisions[place][index].reason for place in places],
            )
            for place, of_actions in zip(places, logprobs, strict=True):
                found[place].append(of_actions)
        return found


class UnbriefedTeacher:
    """A teacher without facts. It has no probabilities: an action value that is lower by 1 counts as one nat."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def decide(self, trajectories: Sequence[Trajectory]) -> list[list[Decision] | DecisionFailure]:
        """Return the teacher's corrections at ``Disclosure.NONE``."""
        results = self._teacher.correct(trajectories, [UNBRIEFED] * len(trajectories))
        return [
            DecisionFailure(error=result.error) if isinstance(result, CorrectionFailure) else list(result.decisions)
            for result in results
        ]

    def logprobs(
        self,
        trajectories: Sequence[Trajectory],
        decisions: Sequence[Sequence[Decision]],
        actions: Sequence[Sequence[Sequence[str]]],
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return the action values of the teacher without facts; its own decision has 0."""
        own = [
            Correction.of(trajectory, its_decisions, teacher_id=self._teacher.id, briefing=UNBRIEFED)
            for trajectory, its_decisions in zip(trajectories, decisions, strict=True)
        ]
        return complete_action_values(self._teacher, own, actions)


class ConstrainedTeacher(Teacher):
    """Corrects as ``inner`` does, unless that is too far from what an unprivileged policy would do.

    The value of an action is that of ``inner.action_values``: for the oracle minus the number of steps left, for the
    student its log-probability, for a language model minus its rank. If ``inner`` only has decisions, the value of its
    decision is 0 and that of any other action -1.

    Args:
        inner: The privileged teacher.
        beta: The cost of one nat of distance, in units of the value: from 0 (``inner`` itself) to infinity (the most
            likely action of the unprivileged policy).
        by_student: Whether the unprivileged policy is the student that made the trajectories; otherwise it is ``inner``
            without facts.
        student: The student of the last round; None before round 0 is trained.
    """

    def __init__(self, inner: Teacher, *, beta: float, by_student: bool, student: Student | None = None) -> None:
        self.id = f"constrained/{inner.id}"
        self._inner = inner
        self._beta = beta
        self._by_student = by_student
        self._reference: Reference | None = None if by_student else UnbriefedTeacher(inner)
        if student is not None:
            self._reference = StudentReference(student)

    def for_student(self, student: Student, *, round_index: int) -> "ConstrainedTeacher":
        """Return the teacher of the next round, around the inner teacher of the next round.

        Raises:
            ConfigError: ``student`` is the unprivileged policy and has no action probabilities.
        """
        inner = self._inner.for_student(student, round_index=round_index)
        reference: Student | None = None
        if self._by_student:
            reference = student.local
        elif isinstance(inner, SelfTeacher):
            # Without facts this teacher is the student that teaches, which has exact probabilities.
            reference = inner.student
        if reference is not None and type(reference).action_logprobs is Student.action_logprobs:
            reference.action_logprobs([], [], reasons=[])  # The default raises the error now, not for each trajectory.
        return ConstrainedTeacher(inner, beta=self._beta, by_student=self._by_student, student=reference)

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return one correction per trajectory, or a failure if the inner teacher or the unprivileged policy has none.

        Raises:
            ProviderError: The inner teacher is a language model whose server cannot be used.
        """
        results = [replace(result, teacher_id=self.id) for result in self._inner.correct(trajectories, briefings)]
        corrections = [result for result in results if isinstance(result, Correction)]
        constrained = iter(self._constrain_all(corrections))
        return [next(constrained) if isinstance(result, Correction) else result for result in results]

    def usage(self) -> Mapping[str, float]:
        """Return the inner teacher's usage since the last call."""
        return self._inner.usage()

    def estimate(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """Describe the inner teacher's cost; it also corrects without facts if it is the unprivileged policy."""
        if not self._by_student:
            trajectories, briefings = [*trajectories, *trajectories], [*briefings, *[UNBRIEFED] * len(briefings)]
        estimate = self._inner.estimate(trajectories, briefings)
        return f"{estimate}; about as many again to rank actions" if estimate else ""

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
        selected = iter(self._select(decided, self._reference))
        return [
            self._failure(correction.trajectory, f"Without facts: {own.error}")
            if isinstance(own, DecisionFailure)
            else next(selected)
            for correction, own in pairs
        ]

    def _select(self, pairs: Sequence[tuple[Correction, list[Decision]]], reference: Reference) -> list[Correction]:
        """Return each correction with the best candidate at every step; beside it are the reference's own decisions."""
        corrections = [correction for correction, _ in pairs]
        trajectories = [correction.trajectory for correction in corrections]
        candidates = [
            list(map(_candidates, correction.trajectory.steps, correction.decisions, own)) for correction, own in pairs
        ]
        actions = [[list(options) for options in its_candidates] for its_candidates in candidates]
        logprobs = reference.logprobs(trajectories, [own for _, own in pairs], actions)
        values = complete_action_values(self._inner, corrections, actions)
        return list(map(self._selected, corrections, candidates, values, logprobs))

    def _selected(
        self,
        correction: Correction,
        candidates: Sequence[Mapping[str, Decision]],
        values: Sequence[Mapping[str, float]],
        logprobs: Sequence[Mapping[str, float]],
    ) -> Correction:
        """Return ``correction`` with the best candidate of each step; of equal ones the first, the inner teacher's."""
        decisions = []
        for options, value, logprob in zip(candidates, values, logprobs, strict=True):
            merits = {action: self._merit(value[action], logprob[action]) for action in options}
            decisions.append(options[max(options, key=merits.__getitem__)])
        return Correction.of(correction.trajectory, decisions, teacher_id=self.id, briefing=correction.briefing)

    def _merit(self, value: float, logprob: float) -> tuple[float, float]:
        """Return what is maximised; if beta is infinite, the probability decides and the value breaks ties."""
        return (logprob, value) if math.isinf(self._beta) else (value + self._beta * logprob, 0.0)

    def _failure(self, trajectory: Trajectory, error: str) -> CorrectionFailure:
        logger.warning("No correction of %s: %s", trajectory.task.id, error)
        return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=error)


def complete_action_values(
    teacher: Teacher, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
) -> list[list[dict[str, float]]]:
    """Return the teacher's value of every candidate at each step of its own ``corrections``.

    If the teacher only has its decision, that is 0 and any other action -1; a single action without a value is -inf.
    """

    def completed(known: Mapping[str, float], own: Decision, actions: Sequence[str]) -> dict[str, float]:
        if known:
            return {action: known.get(action, -math.inf) for action in actions}
        return {action: 0.0 if action == own.action else -1.0 for action in actions}

    values = teacher.action_values(corrections, candidates)
    return [
        list(map(completed, known, correction.decisions, actions))
        for known, correction, actions in zip(values, corrections, candidates, strict=True)
    ]


def _candidates(step: Step, privileged: Decision, unprivileged: Decision) -> dict[str, Decision]:
    """Return the decisions to choose from at ``step`` by their actions, the inner teacher's first.

    These are the admissible decisions of both policies and the student. If no free text can be given, all other
    admissible actions are added, with the reason of the unprivileged policy, after which they are scored.
    """
    observation = step.observation
    proposed = [privileged, *(each for each in (step.listed_decision, unprivileged) if observation.admits(each.action))]
    if observation.query_action is None:
        listed = observation.admissible_actions or ()
        proposed += [Decision(reason=unprivileged.reason, action=action) for action in listed]
    candidates: dict[str, Decision] = {}
    for decision in proposed:
        candidates.setdefault(decision.action, decision)
    return candidates
