"""Correct: the teacher relabels every step of the student's weak trajectories."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, ProgressCallback, Teacher
from leap_exp.core.sequences import Selected
from leap_exp.core.settings import Settings, setting
from leap_exp.core.threads import run_many
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Task, Trajectory
from leap_exp.runs import RecordSpool

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
    spool: RecordSpool[Correction | CorrectionFailure] | None = None,
) -> Sequence[Correction | CorrectionFailure]:
    """Return the teacher's correction of each scored trajectory with at most ``max_score``, or its failure, in order.

    The teacher is briefed with the task's privileged facts under ``disclosure``; at NONE it gets no facts. Failures to
    brief it come first. Results are written to ``spool`` as they come, and it is returned; None for a list.
    """
    failures, briefed = _briefed(environment, trajectories, disclosure, max_score, teacher_id=teacher.id)
    weak, briefings = Selected.of(trajectories, list(briefed)), list(briefed.values())
    estimate = teacher.estimate(weak, briefings)
    if estimate:
        logger.info("Corrections: %s", estimate)
    results: dict[int, Correction | CorrectionFailure] = {}
    keep = results.__setitem__ if spool is None else spool.put
    done = failed = 0
    first: CorrectionFailure | None = None
    for place, result in chain(enumerate(failures), _corrected(teacher, weak, briefings, start=len(failures))):
        keep(place, result)
        done += 1
        if isinstance(result, CorrectionFailure):
            failed += 1
            first = first or result
        on_progress(done, len(failures) + len(weak))
    if first is not None:
        logger.warning(
            "%d of %d trajectories could not be corrected, first %s: %s",
            *(failed, done, first.trajectory.task.id, first.error),
        )
    return [results[place] for place in range(done)] if spool is None else spool


def _briefed(
    environment: Environment,
    trajectories: Sequence[Trajectory],
    disclosure: Disclosure,
    max_score: float,
    *,
    teacher_id: str,
) -> tuple[list[CorrectionFailure], dict[int, Briefing]]:
    """Return the failures to brief the teacher, and the briefings by the places of their trajectories."""
    failures: list[CorrectionFailure] = []
    briefed: dict[int, Briefing] = {}
    for place, trajectory in enumerate(trajectories):
        if trajectory.score is None or trajectory.score > max_score or not trajectory.steps:
            continue
        try:
            briefed[place] = brief(environment, trajectory.task, disclosure)
        except LeapError as error:
            failures.append(CorrectionFailure(trajectory=trajectory, teacher_id=teacher_id, error=str(error)))
    return failures, briefed


def _corrected(
    teacher: Teacher, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing], *, start: int
) -> Iterator[tuple[int, Correction | CorrectionFailure]]:
    """Yield the teacher's results as they come, each with its place, which counts from ``start``."""
    if teacher.concurrency:

        def one(place: int) -> Correction | CorrectionFailure:
            return teacher.correct([trajectories[place]], [briefings[place]])[0]

        limit, stopping = teacher.concurrency, threading.Event()
        for place, result in run_many(one, len(trajectories), limit=limit, stopping=stopping):
            yield start + place, result
        return
    for first in range(0, len(trajectories), CHUNK):
        chunk = slice(first, first + CHUNK)
        yield from enumerate(teacher.correct(trajectories[chunk], briefings[chunk]), start=start + first)


def brief(environment: Environment, task: Task, disclosure: Disclosure) -> Briefing:
    """Return the briefing of a teacher for ``task`` under ``disclosure``."""
    facts = None if disclosure is Disclosure.NONE else environment.privileged(task)
    return Briefing(disclosure=disclosure, facts=facts)


def imitate(
    demonstrations: Iterable[Trajectory], *, into: RecordSpool[Correction] | None = None
) -> Sequence[Correction]:
    """Return demonstrations as corrections without changes: those that succeeded with admissible actions only.

    Actions are imitated as the environment lists them. The corrections are written to ``into``, or None for a list.
    """
    corrections: RecordSpool[Correction] | list[Correction] = [] if into is None else into
    for trajectory in demonstrations:
        if not (trajectory.succeeded and all(step.is_valid for step in trajectory.steps)):
            continue
        correction = Correction(
            trajectory=trajectory,
            decisions=tuple(step.listed_decision for step in trajectory.steps),
            changed=(False,) * len(trajectory.steps),
            teacher_id=trajectory.policy_id,
            briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
        )
        corrections.append(correction)
    return corrections


def correction_metrics(results: Iterable[Correction | CorrectionFailure]) -> dict[str, float]:
    """Return the number of corrections and failures, and the share of changed steps."""
    corrections = failures = 0
    changed: list[bool] = []
    for result in results:
        if isinstance(result, Correction):
            corrections += 1
            changed += result.changed
        else:
            failures += 1
    return {
        "correct/corrections_count": corrections,
        "correct/failures_count": failures,
        "correct/changed_share": fmean(changed) if changed else 0.0,
    }
