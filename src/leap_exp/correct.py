"""Correct: the teacher relabels every step of the student's weak trajectories."""

import logging
from collections.abc import Sequence
from statistics import fmean

from leap_exp.core.errors import LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, MeteredTeacher, ProgressCallback, Teacher
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Task, Trajectory

logger = logging.getLogger(__name__)

CHUNK = 16
"""Trajectories handed to the teacher at a time: enough for a server to work on at once, few enough to see progress."""


def correct(
    teacher: Teacher,
    environment: Environment,
    trajectories: Sequence[Trajectory],
    *,
    disclosure: Disclosure,
    max_score: float,
    on_progress: ProgressCallback,
) -> list[Correction | CorrectionFailure]:
    """What ``teacher`` says to each scored trajectory of at most ``max_score``, in order; failures are kept as such.

    The teacher is briefed with the task's privileged facts under ``disclosure``; at NONE it gets no facts.
    """
    weak = [t for t in trajectories if t.score is not None and t.score <= max_score and t.steps]
    results: list[Correction | CorrectionFailure] = []
    briefed: list[tuple[Trajectory, Briefing]] = []
    for trajectory in weak:
        try:
            briefed.append((trajectory, brief(environment, trajectory.task, disclosure)))
        except LeapError as error:
            results.append(CorrectionFailure(trajectory=trajectory, teacher_id=teacher.id, error=str(error)))
    if isinstance(teacher, MeteredTeacher):
        forecast = teacher.forecast([t for t, _ in briefed], [b for _, b in briefed])
        if forecast:
            logger.info("Corrections: %s", forecast)
    for start in range(0, len(briefed), CHUNK):
        chunk = briefed[start : start + CHUNK]
        results += teacher.correct([t for t, _ in chunk], [b for _, b in chunk])
        on_progress(len(results), len(weak))
    failures = [result for result in results if isinstance(result, CorrectionFailure)]
    if failures:
        first = failures[0]
        logger.warning(
            "%d of %d trajectories were not corrected, first %s: %s",
            *(len(failures), len(results), first.trajectory.task.id, first.error),
        )
    return results


def brief(environment: Environment, task: Task, disclosure: Disclosure) -> Briefing:
    """What a teacher is told of ``task`` under ``disclosure``."""
    facts = None if disclosure is Disclosure.NONE else environment.privileged(task)
    return Briefing(disclosure=disclosure, facts=facts)


def imitate(demonstrations: Sequence[Trajectory]) -> list[Correction]:
    """Demonstrations as corrections that change nothing: those that succeeded by admissible actions alone."""
    return [
        Correction(
            trajectory=trajectory,
            decisions=tuple(step.decision for step in trajectory.steps),
            changed=(False,) * len(trajectory.steps),
            teacher_id=trajectory.policy_id,
            briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
        )
        for trajectory in demonstrations
        if trajectory.succeeded and all(step.is_valid for step in trajectory.steps)
    ]


def correction_metrics(results: Sequence[Correction | CorrectionFailure]) -> dict[str, float]:
    """How many corrections came back, how many failed, and the share of steps that were changed."""
    corrections = [result for result in results if isinstance(result, Correction)]
    changed = [mark for correction in corrections for mark in correction.changed]
    return {
        "correct/corrections_count": len(corrections),
        "correct/failures_count": len(results) - len(corrections),
        "correct/changed_share": fmean(changed) if changed else 0.0,
    }
