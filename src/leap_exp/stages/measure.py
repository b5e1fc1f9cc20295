"""Measure: what a round's corrections, and the students before and after training on them, say beyond realizability.

These measures cost more than the probes' log-probabilities, so a run makes those that ``measures`` names, on its
probes; ``leap analyse`` makes them for a finished run. Each result is a list of rows as JSON data: all steps together
first (``depth`` None), then each depth.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from leap_exp.analysis.briefing import BriefedStep, briefing_effects
from leap_exp.analysis.distributions import Logprobs, changes, kl_divergence
from leap_exp.analysis.information import information, step_information
from leap_exp.analysis.recoverability import Values, action_values, own_cost, recoverability
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.types import Correction, View, views
from leap_exp.stages.probe import Probes

WORLDS = 64
"""Most consistent worlds to look at in each step."""

Rows = list[dict[str, object]]
Measured = dict[str, dict[str, Rows]]
"""By measure and sample (``train`` or ``heldout``), the rows."""


class Measure(StrEnum):
    """What can be measured on the probes of a round."""

    DISTRIBUTIONS = "distributions"
    """The student's distribution over the admissible actions, before and after training."""
    BRIEFING = "briefing"
    """What the facts in its prompt change in the student before training, and whether that is where it errs."""
    INFORMATION = "information"
    """How much of the teacher's actions the history leaves open."""
    RECOVERABILITY = "recoverability"
    """What wrong steps cost, and whether corrections shorten the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured in a round: its students before and after training, its environment and its probes.

    The students are only loaded where a measure needs them. ``worlds`` are the most consistent worlds per step.
    """

    environment: Environment
    before: Callable[[], Student]
    after: Callable[[], Student]
    probes: Probes
    seed: int
    worlds: int = WORLDS

    @classmethod
    def of(cls, environment: Environment, *, before: Student, after: Student, probes: Probes, seed: int) -> "Subject":
        """Return what is measured with students that are loaded already."""
        return cls(environment=environment, before=lambda: before, after=lambda: after, probes=probes, seed=seed)


def check_measures(names: Sequence[str]) -> None:
    """Check that all are measures; raises ConfigError."""
    if unknown := [name for name in names if name not in tuple(Measure)]:
        raise ConfigError(f"measures={unknown} is not valid: choose of: {', '.join(Measure)}.")


def measure_round(subject: Subject, which: Sequence[str], on_progress: ProgressCallback) -> Measured:
    """Return the measures ``which`` of a round. A measure without any step that it can be taken at has no rows.

    Raises:
        ConfigError: The student has no action probabilities, or cannot read a briefing.
    """
    samples = subject.probes.samples()
    total, done = len(which) * len(samples), 0
    measured: Measured = {}
    for measure in map(Measure, which):
        measured[measure] = {}
        for name, corrections in samples.items():
            measured[measure][name] = _MEASURES[measure](subject, corrections)
            done += 1
            on_progress(done, total)
    return measured


def action_distributions(
    student: Student, corrections: Sequence[Correction], *, with_facts: bool = False
) -> list[list[Logprobs]]:
    """Return the student's log-probability of each admissible action at each learnt step, given its own reason there.

    Empty at steps that list no actions, or where an action has free text. With ``with_facts`` the student reads the
    briefings, and steps without facts are left empty.
    """
    found: list[list[Logprobs]] = [[{} for _ in each.decisions] for each in corrections]
    for places, batch in _batches(corrections, with_facts=with_facts):
        logprobs = student.local.action_logprobs(
            batch,
            [view.observation.admissible_actions or () for view in batch],
            reasons=[corrections[place].trajectory.steps[index].decision.reason for place, index in places],
            briefings=[corrections[place].briefing for place, _ in places] if with_facts else None,
        )
        for (place, index), of_actions in zip(places, logprobs, strict=True):
            found[place][index] = of_actions
    return found


def _batches(
    corrections: Sequence[Correction], *, with_facts: bool
) -> Iterator[tuple[list[tuple[int, int]], list[View]]]:
    """Yield the steps to score, all first ones, then all second ones, and so on, as a key-value cache likes."""
    seen = [views(each.trajectory) for each in corrections]
    for index in range(max(map(len, seen), default=0)):
        places = [
            (place, index)
            for place, each in enumerate(corrections)
            if index in each.learnt_steps and (each.briefing.facts is not None or not with_facts)
        ]
        places = [(place, at) for place, at in places if _lists_actions(seen[place][at])]
        if places:
            yield places, [seen[place][index] for place, _ in places]


def _lists_actions(view: View) -> bool:
    return bool(view.observation.admissible_actions) and view.observation.query_action is None


def _distributions(subject: Subject, corrections: Sequence[Correction]) -> Rows:
    before, after = (action_distributions(student, corrections) for student in (subject.before(), subject.after()))
    return [asdict(row) for row in changes(corrections, before, after)]


def _briefing(subject: Subject, corrections: Sequence[Correction]) -> Rows:
    # Imported here because scipy takes a second, and no run without this measure needs it.
    from leap_exp.analysis.contrast import Signal, contrast

    student = subject.before()
    briefed = action_distributions(student, corrections, with_facts=True)
    unbriefed = action_distributions(student, corrections)
    steps, signals = [], []
    for correction, with_facts, without in zip(corrections, briefed, unbriefed, strict=True):
        values = action_values(subject.environment, correction.trajectory) if any(with_facts) else []
        for depth, (told, own) in enumerate(zip(with_facts, without, strict=True)):
            if not told:
                continue
            lengths = dict(zip(told, student.action_lengths(list(told)), strict=True))
            steps.append(BriefedStep(depth=depth, briefed=told, unbriefed=own, lengths=lengths))
            if depth in correction.judged_steps:
                is_error = _is_error(correction, depth, values[depth])
                value = kl_divergence(told, own)
                signals.append(Signal(trajectory=correction.trajectory.name, value=value, is_error=is_error))
    rows: Rows = [asdict(row) for row in briefing_effects(steps)]
    found = contrast(signals)
    if rows and found is not None:
        rows[0] |= {f"error_{name}": value for name, value in asdict(found).items()}
    return rows


def _is_error(correction: Correction, depth: int, values: Values) -> bool:
    cost = own_cost(values, correction.trajectory.steps[depth])
    return correction.changed[depth] if cost is None else cost > 0.0


def _information(subject: Subject, corrections: Sequence[Correction]) -> Rows:
    steps = [
        step
        for correction in corrections
        if correction.briefing.facts is not None
        for step in step_information(subject.environment, correction, limit=subject.worlds, seed=subject.seed)
    ]
    return [asdict(row) for row in information(steps)]


def _recoverability(subject: Subject, corrections: Sequence[Correction]) -> Rows:
    values = [action_values(subject.environment, correction.trajectory) for correction in corrections]
    return [asdict(row) for row in recoverability(corrections, values)]


_MEASURES: Mapping[Measure, Callable[[Subject, Sequence[Correction]], Rows]] = {
    Measure.DISTRIBUTIONS: _distributions,
    Measure.BRIEFING: _briefing,
    Measure.INFORMATION: _information,
    Measure.RECOVERABILITY: _recoverability,
}
