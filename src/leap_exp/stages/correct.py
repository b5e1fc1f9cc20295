"""Correct: the teacher relabels steps of the student's trajectories: by default every step of the weak ones."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.privilege import Control, Disclosure
from leap_exp.core.protocols import ProgressCallback, Student, Teacher
from leap_exp.core.sequences import Selected
from leap_exp.core.settings import Settings, setting
from leap_exp.core.threads import run_many
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Task, Trajectory
from leap_exp.runs import RecordSpool
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
    control: str | None = setting(
        None,
        "What the teacher is told in place of the facts: shuffled (another task's), wrong (facts that contradict the "
        "task's own) or placebo (a text that says nothing); null for the facts.",
        choices=tuple(Control),
    )
    beta: float | None = setting(
        None,
        "Keeps the teacher near the last round's student, like teacher=constrained with this beta; null for no limit.",
        minimum=0,
    )
    facts: str | None = setting(None, "File of facts to use (leap data extract-facts); null for the environment's own.")

    def check_together(self) -> None:
        """Check that the file of facts exists, and that there are facts for a control to replace."""
        if self.control is not None and self.disclosure == Disclosure.NONE:
            raise ConfigError(
                f"privilege.control={self.control} replaces facts, but privilege.disclosure={self.disclosure} gives "
                "none; choose another disclosure, such as p25."
            )
        if self.control == Control.WRONG and self.facts is not None:
            raise ConfigError(
                f"privilege.control={self.control} makes facts of its own; leave out privilege.facts={self.facts}."
            )
        if self.facts is not None and not Path(self.facts).is_file():
            raise ConfigError(f"privilege.facts={self.facts} is not a file.")


def select_trajectories(trajectories: Sequence[Trajectory], how: Selection) -> Sequence[Trajectory]:
    """Return the scored trajectories that are learnt from, in their order."""
    return Selected.of(trajectories, selected_places(trajectories, how))


def selected_places(trajectories: Sequence[Trajectory], how: Selection) -> list[int]:
    """Return the places of the trajectories that are learnt from."""
    kept: list[int] = []
    best: dict[str, tuple[float, int]] = {}
    winners: dict[str, int] = {}
    for place, each in enumerate(trajectories):
        if each.score is None or not each.steps or (how is Selection.FAILURES and each.succeeded):
            continue
        kept.append(place)
        rank = each.score, -len(each.steps)
        if each.task.id not in best or rank > best[each.task.id]:
            best[each.task.id] = rank
            winners[each.task.id] = place
    if how is Selection.BEST:
        return sorted(winners.values())
    return kept


def correct(
    teacher: Teacher,
    environment: Environment,
    student: Student,
    trajectories: Sequence[Trajectory],
    *,
    config: CorrectConfig,
    disclosure: Disclosure,
    on_progress: ProgressCallback,
    spool: RecordSpool[Correction | CorrectionFailure] | None = None,
) -> Sequence[Correction | CorrectionFailure]:
    """Return the teacher's correction of each weak trajectory, or its failure, in order.

    The teacher is briefed with the task's privileged facts under ``disclosure``; at NONE it gets no facts. Failures to
    brief it come first. A trajectory without any step to learn from is left out. ``student`` made the trajectories.
    Results are written to ``spool`` as they come, and it is returned; None for a list.
    """
    failures, briefed = _briefed(environment, trajectories, disclosure, config, teacher_id=teacher.id)
    weak, briefings = Selected.of(trajectories, list(briefed)), list(briefed.values())
    estimate = teacher.estimate(weak, briefings)
    if estimate:
        logger.info("Corrections: %s", estimate)

    def chunk(places: range) -> list[Correction | CorrectionFailure]:
        pairs = [(weak[place], briefings[place]) for place in places]
        asked = _steps_to_ask(environment, student, pairs, config)
        return [_kept(result, config) for result in _ask(teacher, pairs, asked)]

    # A student that tells which steps are critical does so in batches.
    alone = 0 if config.steps == CorrectedSteps.CRITICAL else teacher.concurrency
    results: dict[int, Correction | CorrectionFailure] = {}
    keep = results.__setitem__ if spool is None else spool.put
    done = failed = 0
    first: CorrectionFailure | None = None
    for place, result in chain(enumerate(failures), _in_chunks(chunk, len(weak), alone=alone, start=len(failures))):
        done += 1
        if isinstance(result, CorrectionFailure):
            failed += 1
            first = first or result
        if isinstance(result, CorrectionFailure) or result.learnt_steps:
            keep(place, result)
        on_progress(done, len(failures) + len(weak))
    if first is not None:
        logger.warning(
            "%d of %d trajectories could not be corrected, first %s: %s",
            *(failed, done, first.trajectory.task.id, first.error),
        )
    return [results[place] for place in sorted(results)] if spool is None else spool


def _briefed(
    environment: Environment,
    trajectories: Sequence[Trajectory],
    disclosure: Disclosure,
    config: CorrectConfig,
    *,
    teacher_id: str,
) -> tuple[list[CorrectionFailure], dict[int, Briefing]]:
    """Return the failures to brief the teacher, and the briefings by the places of the weak trajectories."""
    failures: list[CorrectionFailure] = []
    briefed: dict[int, Briefing] = {}
    for place in selected_places(trajectories, Selection(config.select)):
        trajectory = trajectories[place]
        if trajectory.score is None or trajectory.score > config.max_score:
            continue
        try:
            briefed[place] = brief(environment, trajectory.task, disclosure)
        except LeapError as error:
            failures.append(CorrectionFailure(trajectory=trajectory, teacher_id=teacher_id, error=str(error)))
    return failures, briefed


def _in_chunks(
    correct_chunk: Callable[[range], list[Correction | CorrectionFailure]], count: int, *, alone: int, start: int
) -> Iterator[tuple[int, Correction | CorrectionFailure]]:
    """Yield the results for ``count`` trajectories as they come, each with its place, which counts from ``start``.

    With ``alone``, each trajectory is a chunk of its own, and so many of them are corrected at a time.
    """
    size = 1 if alone else CHUNK
    chunks = [range(first, min(first + size, count)) for first in range(0, count, size)]
    if alone:
        found = run_many(lambda index: correct_chunk(chunks[index]), count, limit=alone, stopping=threading.Event())
    else:
        found = ((index, correct_chunk(places)) for index, places in enumerate(chunks))
    for index, results in found:
        for place, result in zip(chunks[index], results, strict=True):
            yield start + place, result


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


def correction_metrics(results: Iterable[Correction | CorrectionFailure]) -> dict[str, float]:
    """Return the number of corrections and failures, and the share of changed steps.

    Where not every step was judged, also the number of labels (the teacher's decisions on the student's steps) and of
    those saved; where the teacher went on after corrections, the number of these recoveries. If environments are
    joined, there is each metric for every environment too (``correct/changed_share/NAME``).
    """
    total, by_environment = _Tally(), defaultdict[str, _Tally](_Tally)
    for each in results:
        total.add(each)
        if name := each.trajectory.task.environment:
            by_environment[name].add(each)
    return {
        **total.metrics(),
        **{
            f"{metric}/{name}": value
            for name, tally in sorted(by_environment.items())
            for metric, value in tally.metrics().items()
        },
    }


@dataclass
class _Tally:
    """Counts of corrections."""

    corrections: int = 0
    failures: int = 0
    recoveries: int = 0
    saved: int = 0
    changed: list[bool] = field(default_factory=list)

    def add(self, result: Correction | CorrectionFailure) -> None:
        if not isinstance(result, Correction):
            self.failures += 1
        elif result.trajectory.resumed_at is not None:
            self.recoveries += 1
        else:
            self.corrections += 1
            self.changed += [result.changed[index] for index in result.judged_steps]
            self.saved += len(result.context_steps)

    def metrics(self) -> dict[str, float]:
        labels = {"correct/labels_count": len(self.changed), "correct/labels_saved_count": self.saved}
        return {
            "correct/corrections_count": self.corrections,
            "correct/failures_count": self.failures,
            "correct/changed_share": fmean(self.changed) if self.changed else 0.0,
            **(labels if self.saved else {}),
            **({"correct/recoveries_count": self.recoveries} if self.recoveries else {}),
        }
