"""Correct: the teacher relabels every step of the student's weak trajectories."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, ProgressCallback, Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import Settings, setting
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Task, Trajectory

logger = logging.getLogger(__name__)

CHUNK = 16
"""Trajectories per call of the teacher: enough to keep a server busy, few enough to show progress."""


@dataclass
class CorrectConfig(Settings):
    """Which trajectories the teacher corrects."""

    place: ClassVar[str] = "correct"

    max_score: float = setting(
        0.0, "Trajectories with this score or less are corrected; 1 for all.", minimum=0, maximum=1
    )


@dataclass
class PrivilegeConfig(Settings):
    """Which privileged facts the teacher gets, and how it may use them."""

    place: ClassVar[str] = "privilege"

    disclosure: str = setting(
        "p50",
        "none, p25, p50, p75 or p100: from no facts to stating them outright.",
        choices=[level.value for level in Disclosure],
    )
    facts: str | None = setting(None, "File of facts to use (leap data extract-facts); null for the environment's own.")

    def check_together(self) -> None:
        """Check that the file of facts exists."""
        if self.facts is not None and not Path(self.facts).is_file():
            raise ConfigError(f"privilege.facts={self.facts} is not a file.")


def correct(
    teacher: Teacher,
    environment: Environment,
    trajectories: Sequence[Trajectory],
    *,
    disclosure: Disclosure,
    max_score: float,
    on_progress: ProgressCallback,
) -> list[Correction | CorrectionFailure]:
    """Return the teacher's correction of each scored trajectory with at most ``max_score``, or its failure, in order.

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
    estimate = teacher.estimate([t for t, _ in briefed], [b for _, b in briefed])
    if estimate:
        logger.info("Corrections: %s", estimate)
    for start in range(0, len(briefed), CHUNK):
        chunk = briefed[start : start + CHUNK]
        results += teacher.correct([t for t, _ in chunk], [b for _, b in chunk])
        on_progress(len(results), len(weak))
    failures = [result for result in results if isinstance(result, CorrectionFailure)]
    if failures:
        first = failures[0]
        logger.warning(
            "%d of %d trajectories could not be corrected, first %s: %s",
            *(len(failures), len(results), first.trajectory.task.id, first.error),
        )
    return results


def brief(environment: Environment, task: Task, disclosure: Disclosure) -> Briefing:
    """Return the briefing of a teacher for ``task`` under ``disclosure``."""
    facts = None if disclosure is Disclosure.NONE else environment.privileged(task)
    return Briefing(disclosure=disclosure, facts=facts)


def imitate(demonstrations: Sequence[Trajectory]) -> list[Correction]:
    """Return demonstrations as corrections without changes: those that succeeded with admissible actions only.

    Actions are imitated as the environment lists them.
    """
    return [
        Correction(
            trajectory=trajectory,
            decisions=tuple(step.listed_decision for step in trajectory.steps),
            changed=(False,) * len(trajectory.steps),
            teacher_id=trajectory.policy_id,
            briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
        )
        for trajectory in demonstrations
        if trajectory.succeeded and all(step.is_valid for step in trajectory.steps)
    ]


def with_briefings(
    demonstrations: Sequence[Correction], environment: Environment, disclosure: Disclosure, *, share: float, seed: int
) -> list[Correction]:
    """Return ``demonstrations``, of which a ``share`` is to be cloned with a briefing in the prompt.

    So the student learns to use the facts, as it must if it is to be its own teacher.
    """
    return [
        replace(each, briefing=brief(environment, each.trajectory.task, disclosure), briefed=True)
        if derive_seed(seed, "briefed", each.trajectory.task.id) % 10_000 < share * 10_000
        else each
        for each in demonstrations
    ]


def correction_metrics(results: Sequence[Correction | CorrectionFailure]) -> dict[str, float]:
    """Return the number of corrections and failures, and the share of changed steps."""
    corrections = [result for result in results if isinstance(result, Correction)]
    changed = [mark for correction in corrections for mark in correction.changed]
    return {
        "correct/corrections_count": len(corrections),
        "correct/failures_count": len(results) - len(corrections),
        "correct/changed_share": fmean(changed) if changed else 0.0,
    }
