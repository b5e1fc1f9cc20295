"""Correct: the teacher relabels steps of the student's trajectories: by default every step of the weak ones."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, ProgressCallback, Student, Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import Settings, setting
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Task, Trajectory
from leap_exp.stages.critical import Uncertainty, critical_steps

logger = logging.getLogger(__name__)

CHUNK = 16
"""Trajectories per call of the teacher: enough to keep a server busy, few enough to show progress."""


class Selection(StrEnum):
    """Which of a round's trajectories are learnt from."""

    ALL = "all"
    FAILURES = "failures"
    """Those without success."""
    BEST = "best"
    """The one with the highest score of each task; of equal ones the shortest, then the first."""


class CorrectedSteps(StrEnum):
    """At which steps a teacher corrects."""

    ALL = "all"
    CHANGED = "changed"
    """It reads all steps and decides only where it would act otherwise."""
    CRITICAL = "critical"
    """It is asked only where a wrong action costs much."""


@dataclass
class CorrectConfig(Settings):
    """What the teacher corrects."""

    place: ClassVar[str] = "correct"

    select: str = setting(
        "all",
        "Trajectories to learn from: all, failures (without success) or best (the best of each task).",
        choices=tuple(Selection),
    )
    max_score: float = setting(
        0.0, "Of these, trajectories with this score or less are corrected; 1 for all.", minimum=0, maximum=1
    )
    steps: str = setting(
        "all",
        "Steps to correct: all, changed (where the teacher acts otherwise) or critical (where a mistake is costly).",
        choices=tuple(CorrectedSteps),
    )
    min_cost: float = setting(
        2.0, "With steps=critical: a step is critical if its action wastes as many steps, where that is known.", above=0
    )
    uncertainty: str = setting(
        "entropy",
        "With steps=critical, where costs are unknown: the student's uncertainty, by entropy or by margin.",
        choices=tuple(Uncertainty),
    )
    min_uncertainty: float = setting(
        0.5, "A step is critical from this uncertainty on: 0 certain, 1 undecided.", minimum=0, maximum=1
    )
    recovery_steps: int = setting(
        0,
        "Steps that the teacher goes on after one corrected step of each trajectory, to learn from too; 0 for none.",
        minimum=0,
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


def select_trajectories(trajectories: Sequence[Trajectory], how: Selection) -> list[Trajectory]:
    """Return the scored trajectories that are learnt from, in their order."""
    scored = [each for each in trajectories if each.score is not None and each.steps]
    if how is Selection.FAILURES:
        return [each for each in scored if not each.succeeded]
    if how is Selection.BEST:
        best: dict[str, Trajectory] = {}
        for each in scored:
            rival = best.setdefault(each.task.id, each)
            if (_score(each), -len(each.steps)) > (_score(rival), -len(rival.steps)):
                best[each.task.id] = each
        return [each for each in scored if each is best[each.task.id]]
    return scored


def correct(
    teacher: Teacher,
    environment: Environment,
    student: Student,
    trajectories: Sequence[Trajectory],
    *,
    config: CorrectConfig,
    disclosure: Disclosure,
    on_progress: ProgressCallback,
) -> list[Correction | CorrectionFailure]:
    """Return the teacher's correction of each weak trajectory, or its failure, in order.

    The teacher is briefed with the task's privileged facts under ``disclosure``; at NONE it gets no facts. A trajectory
    without any step to learn from is left out. ``student`` made the trajectories.
    """
    selected = select_trajectories(trajectories, Selection(config.select))
    weak = [each for each in selected if _score(each) <= config.max_score]
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
    failed = len(results)
    for start in range(0, len(briefed), CHUNK):
        chunk = briefed[start : start + CHUNK]
        asked = _steps_to_ask(environment, student, chunk, config)
        results += [_kept(result, config) for result in _ask(teacher, chunk, asked)]
        on_progress(failed + start + len(chunk), len(weak))
    failures = [result for result in results if isinstance(result, CorrectionFailure)]
    if failures:
        first = failures[0]
        logger.warning(
            "%d of %d trajectories could not be corrected, first %s: %s",
            *(len(failures), len(results), first.trajectory.task.id, first.error),
        )
    return [result for result in results if isinstance(result, CorrectionFailure) or result.learnt_steps]


def _score(trajectory: Trajectory) -> float:
    assert trajectory.score is not None  # noqa: S101 - called for scored trajectories only
    return trajectory.score


def _steps_to_ask(
    environment: Environment, student: Student, briefed: Sequence[tuple[Trajectory, Briefing]], config: CorrectConfig
) -> list[list[int]]:
    """Return the steps of each trajectory at which the teacher is asked: never those that it took itself."""
    trajectories = [trajectory for trajectory, _ in briefed]
    steps = [list(range(len(trajectory.steps))) for trajectory in trajectories]
    if config.steps == CorrectedSteps.CRITICAL:
        steps = critical_steps(
            environment,
            student,
            trajectories,
            with_facts=any(briefing.facts is not None for _, briefing in briefed),
            min_cost=config.min_cost,
            uncertainty=Uncertainty(config.uncertainty),
            min_uncertainty=config.min_uncertainty,
        )
    return [
        [index for index in each if not trajectory.steps[index].taken_by]
        for trajectory, each in zip(trajectories, steps, strict=True)
    ]


def _ask(
    teacher: Teacher, briefed: Sequence[tuple[Trajectory, Briefing]], steps: Sequence[Sequence[int]]
) -> list[Correction | CorrectionFailure]:
    """Return the teacher's corrections of ``steps``. A trajectory with no step to ask about costs it nothing."""
    if all(len(asked) == len(trajectory.steps) for (trajectory, _), asked in zip(briefed, steps, strict=True)):
        return list(teacher.correct([t for t, _ in briefed], [b for _, b in briefed]))
    put = [(*each, asked) for each, asked in zip(briefed, steps, strict=True) if asked]
    corrected = teacher.correct_steps([t for t, _, _ in put], [b for _, b, _ in put], [asked for _, _, asked in put])
    answers = iter(corrected)
    return [next(answers) if asked else _unasked(teacher, *each) for each, asked in zip(briefed, steps, strict=True)]


def _unasked(teacher: Teacher, trajectory: Trajectory, briefing: Briefing) -> Correction:
    """Return the correction of a trajectory without a question: the steps that the teacher took, and context."""
    own = [step.decision for step in trajectory.steps]
    return Correction.of(trajectory, own, teacher_id=teacher.id, briefing=briefing, asked=())


def _kept(result: Correction | CorrectionFailure, config: CorrectConfig) -> Correction | CorrectionFailure:
    """Return ``result`` with the steps that are learnt from."""
    if config.steps != CorrectedSteps.CHANGED or isinstance(result, CorrectionFailure):
        return result
    return result.limited_to([index for index, changed in enumerate(result.changed) if changed])


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
    """Return the number of corrections and failures, and the share of changed steps.

    Where not every step was judged, also the number of labels (the teacher's decisions on the student's steps) and of
    those saved; where the teacher went on after corrections, the number of these recoveries.
    """
    corrections = [result for result in results if isinstance(result, Correction)]
    recoveries = [each for each in corrections if each.trajectory.resumed_at is not None]
    corrections = [each for each in corrections if each.trajectory.resumed_at is None]
    changed = [each.changed[index] for each in corrections for index in each.judged_steps]
    saved = sum(len(each.context_steps) for each in corrections)
    labels = {"correct/labels_count": len(changed), "correct/labels_saved_count": saved}
    return {
        "correct/corrections_count": len(corrections),
        "correct/failures_count": len(results) - len(corrections) - len(recoveries),
        "correct/changed_share": fmean(changed) if changed else 0.0,
        **(labels if saved else {}),
        **({"correct/recoveries_count": len(recoveries)} if recoveries else {}),
    }
