"""The measures of one finished run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from leap_exp.analysis.bound import BoundRow, estimated_bound
from leap_exp.analysis.reader import reader_leakage, reason_leaks
from leap_exp.analysis.realizability import by_depth
from leap_exp.analysis.recoverability import action_values, success_costs
from leap_exp.analysis.run import MEASURES_FILE
from leap_exp.analysis.utility import utility_of_facts
from leap_exp.config.finished import FinishedRun, ignore_progress
from leap_exp.core.errors import ConfigError
from leap_exp.core.limits import step_limit
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import ProgressCallback
from leap_exp.core.types import Correction, Trajectory
from leap_exp.runs import read_document, read_records, round_name, write_document
from leap_exp.stages.measure import WORLDS, Measure, Measured, Subject, measure_round
from leap_exp.students.briefed import BriefedPolicy
from leap_exp.students.scripted import OraclePolicy

UTILITY, READER, BOUND = "utility", "reader", "bound"
"""Measures besides those of a round's probes."""
CHOICES = (*Measure, UTILITY, READER, BOUND)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is measured.

    Attributes:
        measures: Names from CHOICES.
        rounds: The rounds; None for all.
        worlds: Most consistent worlds per step.
        reader: Model that reads reasons, for the measure ``reader``; empty for the student after round 0.
    """

    measures: Sequence[str]
    rounds: Sequence[int] | None = None
    worlds: int = WORLDS
    reader: str = ""


def analyse_run(folder: Path, wanted: Wanted, *, on_progress: ProgressCallback) -> dict[str, object]:
    """Measure the run in ``folder``, write ``measures.json`` there, and return its data.

    What a round's folder has is not measured again. Realizability by depth comes with every analysis, because it only
    needs what the run has kept.

    Raises:
        StoreError: The folder holds no finished run with training.
        ConfigError: The run's components are not installed, or its student cannot do what a measure needs.
    """
    finished = FinishedRun.read(folder)
    indices = [entry["round"] for entry in finished.run.rounds]
    chosen = indices if wanted.rounds is None else [index for index in indices if index in wanted.rounds]
    rounds = []
    for done, index in enumerate(chosen):
        on_progress(done, len(chosen))
        rounds.append(_round(finished, index, wanted))
    on_progress(len(chosen), len(chosen))
    data: dict[str, object] = {"rounds": rounds}
    if BOUND in wanted.measures:
        data[BOUND] = [asdict(row) for row in bound_rows(finished, worlds=wanted.worlds)]
    write_document(folder / MEASURES_FILE, data)
    return data


def bound_rows(finished: FinishedRun, *, worlds: int = WORLDS) -> list[BoundRow]:
    """Return the estimated bound after each round whose student the next round has corrected, in successes.

    J is the success on the panel, that of the teacher included, which acts there as the oracle under the run's
    disclosure. H is the largest cost in successes over the admissible actions in the episodes on the panel, and ε the
    mean of the floor of information on the probes; without consistent worlds it is the mean loss, so that gamma is 0.

    If environments are joined, T is the longest limit, because steps after an end add nothing; and ε is the mean loss,
    because only some of them may have consistent worlds.
    """
    rounds, limit = finished.run.rounds, finished.step_limit
    is_joint = not isinstance(limit, int)
    horizon = limit if isinstance(limit, int) else max(limit.values())
    teacher_return = _teacher_return(finished) if len(rounds) > 1 else 0.0
    rows, losses, floors, largest = [], [], [], 0.0
    for entry in rounds[1:]:
        index = entry["round"]
        probes = finished.probes(index).samples()
        if not any(probes.values()):
            break
        before = finished.logprobs(index, after=False)
        tables = [by_depth(sample, before[name], before[name])[0] for name, sample in probes.items()]
        losses.append(sum(table.steps * table.epsilon for table in tables) / sum(table.steps for table in tables))
        floors += [] if is_joint else _floors(_measured(finished, index, [Measure.INFORMATION], worlds))
        largest = max(largest, _largest_cost(finished, rounds[len(losses) - 1]["round"]))
        rows.append(
            estimated_bound(
                [each["success_rate"] for each in rounds[: len(losses)]],
                losses,
                teacher_return=teacher_return,
                recoverability=largest,
                epsilon=fmean(floors) if floors else fmean(losses),
                horizon=horizon,
            )
        )
    return rows


def _round(finished: FinishedRun, index: int, wanted: Wanted) -> dict[str, object]:
    probes = finished.probes(index)
    before, after = (finished.logprobs(index, after=late) for late in (False, True))
    entry: dict[str, Any] = {
        "round": index,
        "realizability": {
            name: [asdict(row) for row in by_depth(sample, before[name], after[name])]
            for name, sample in probes.samples().items()
        },
    }
    which = [measure for measure in Measure if measure in wanted.measures]
    entry |= _measured(finished, index, which, wanted.worlds)
    if UTILITY in wanted.measures:
        entry[UTILITY] = _utility(finished, index)
    if READER in wanted.measures:
        corrections = [correction for sample in probes.samples().values() for correction in sample]
        entry[READER] = _reader(finished, corrections, wanted.reader, seed=finished.seed_for(index, READER))
    return entry


def _measured(finished: FinishedRun, index: int, which: Sequence[Measure], worlds: int) -> Measured:
    """Return the measures of a round, from its folder or made now and written there."""
    path = finished.run.folder / round_name(index) / MEASURES_FILE
    known: Measured = read_document(path) if path.is_file() else {}
    missing = [measure for measure in which if measure not in known]
    if missing:
        subject = Subject(
            environment=finished.environment,
            before=lambda: finished.student(index - 1),
            after=lambda: finished.student(index),
            probes=finished.probes(index),
            seed=finished.seed_for(index, "measure"),
            worlds=worlds,
        )
        known = {**known, **measure_round(subject, missing, ignore_progress)}
        write_document(path, known)
    return {measure: known[measure] for measure in which}


def _floors(measured: Measured) -> list[float]:
    """Return the floor of each step of a round, as the mean of its sample."""
    found: list[float] = []
    for rows in measured[Measure.INFORMATION].values():
        if rows:
            steps, floor = rows[0]["steps"], rows[0]["floor"]
            assert isinstance(steps, int)  # noqa: S101 - written by DepthInformation
            assert isinstance(floor, int | float)  # noqa: S101 - as above
            found += [float(floor)] * steps
    return found


def _largest_cost(finished: FinishedRun, index: int) -> float:
    """Return the largest cost in successes of an action in the evaluation of a round: 0 or 1."""
    trajectories = read_records(finished.run.folder / round_name(index) / "evaluation.jsonl").of(Trajectory)
    # Failures come first, because the last chance was missed in them.
    for trajectory in sorted(trajectories, key=lambda each: each.succeeded):
        horizon = step_limit(finished.step_limit, trajectory.task)
        costs = success_costs(action_values(finished.environment, trajectory), horizon=horizon)
        if any(cost for of_step in costs for cost in of_step.values()):
            return 1.0
    return 0.0


def _teacher_return(finished: FinishedRun) -> float:
    """Return the success of the oracle under the run's disclosure on the panel."""
    trajectories = finished.play(OraclePolicy(finished.environment, finished.disclosure), sees_all=True)
    return fmean(trajectory.succeeded for trajectory in trajectories if trajectory.score is not None)


def _utility(finished: FinishedRun, index: int) -> Mapping[str, object] | None:
    """Return the utility of facts for the student after a round, on the panel; None without facts."""
    if finished.disclosure is Disclosure.NONE:
        return None
    policy = BriefedPolicy(finished.student(index), finished.environment, finished.disclosure)
    briefed = finished.play(policy, sees_all=False)
    path = finished.run.folder / round_name(index) / "evaluation.jsonl"
    found = utility_of_facts(briefed, read_records(path).of(Trajectory))
    return None if found is None else {"utility": found.difference, **asdict(found)}


def _reader(
    finished: FinishedRun, corrections: Sequence[Correction], model: str, *, seed: int
) -> Mapping[str, object] | None:
    # Imported here because they need torch, which no other measure does.
    from leap_exp.students.hf import HfStudent
    from leap_exp.students.reader import ModelReader

    student = finished.student(0)
    if not isinstance(student, HfStudent):
        raise ConfigError(f"The measure {READER!r} needs a student with local weights, which {student.id!r} is not.")
    if model:
        student = HfStudent(replace(student.config, model=model, adapter=None), finished.environment)
    found = reader_leakage(reason_leaks(corrections, ModelReader(student), seed=seed))
    return None if found is None else asdict(found)
