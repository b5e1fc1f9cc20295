"""The runs of a sweep as tables, grouped by the settings that differ besides the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from leap_exp.analysis.arm_measures import SeedMean, round_measures
from leap_exp.analysis.run import Run, natural_key, read_run
from leap_exp.analysis.statistics import Comparison, compare, mean_interval
from leap_exp.core.errors import StoreError
from leap_exp.runs.jobs import JobState, JobStatus, read_jobs

BOOKKEEPING = ("seed", "run_dir", "pi_0", "round_0_seed", "tracker", "objective", "measures")
"""Settings that do not distinguish experiments."""

DEFAULT_ARM = "default"
"""The arm of a run that names none."""

CSV_COLUMNS = ("success_rate", "score_mean", "steps_mean", "invalid_action_rate", "n", "unscored")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSummary:
    """Means of one round over the seeds of a group, and the sum of the unscored episodes."""

    label: str
    round: int
    success_mean: float
    success_ci95: tuple[float, float]
    success_by_seed: Sequence[float]
    score_mean: float
    steps_mean: float
    invalid_action_rate: float
    unscored: int
    success_by_kind: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of one experiment with different seeds.

    Attributes:
        label: Its name.
        short: The same for where there is little room: the values of its settings alone.
        settings: What distinguishes it from other groups.
        runs: Its runs by seed.
        rounds: Results of the rounds that all of them have.
        comparison: The last of these rounds against behaviour cloning; None if there is only one.
        measures: What the last of these rounds shows beyond success, by metric.
    """

    label: str
    short: str
    settings: Mapping[str, object]
    runs: Sequence[Run]
    rounds: Sequence[RoundSummary]
    comparison: Comparison | None
    measures: Mapping[str, SeedMean]

    @property
    def complete(self) -> bool:
        """Whether all of its runs are; if not, its last round is an earlier one than that of other groups."""
        return all(run.complete for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Groups in natural order, the settings that distinguish them, and warnings about comparing them."""

    name: str
    keys: Sequence[str]
    groups: Sequence[Group]
    notes: Sequence[str]

    @property
    def complete_groups(self) -> list[Group]:
        """The groups that can be compared with one another."""
        return [group for group in self.groups if group.complete]

    @property
    def runs(self) -> list[Run]:
        """All runs, group by group."""
        return [run for group in self.groups for run in group.runs]


def read_sweep(folder: Path) -> Sweep:
    """Read all runs below ``folder``; raises StoreError if there are none."""
    runs = [read_run(path.parent) for path in sorted(folder.rglob("summary.json"))]
    if not runs:
        raise StoreError(
            f"{folder} holds no run with a finished round. Give the folder of a run or of a sweep; leap sweep status "
            "FOLDER shows how far the runs of a sweep are."
        )
    keys = _distinguishing(runs)
    members: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        members.setdefault(tuple(_value(run, key) for key in keys), []).append(run)
    groups = [
        _group(dict(zip(keys, values, strict=True)), sorted(members[values], key=lambda run: run.seed))
        for values in sorted(members, key=lambda values: [natural_key(value) for value in values])
    ]
    notes = [*_unfinished(read_jobs(folder)), *_notes(groups)]
    return Sweep(name=folder.resolve().name, keys=keys, groups=groups, notes=notes)


def _distinguishing(runs: Sequence[Run]) -> list[str]:
    """Return the settings that differ among ``runs``, without those whose values follow from the ones before them.

    An arm comes first, then the member of the group privilege, then settings in their order, in which the member of a
    group precedes the member's settings.
    """
    names = dict.fromkeys(key for run in runs for key in run.config)
    found: list[str] = []
    for key in sorted(names, key=lambda name: (name != "arm", name != "privilege.name")):
        if key.split(".")[0] in BOOKKEEPING:
            continue
        known = {tuple(_value(run, each) for each in found) for run in runs}
        if len({tuple(_value(run, each) for each in (*found, key)) for run in runs}) > len(known):
            found.append(key)
    return found


def _value(run: Run, key: str) -> str:
    return str(run.config.get(key, DEFAULT_ARM if key == "arm" else None))


def _group(settings: Mapping[str, str], runs: Sequence[Run]) -> Group:
    values = list(settings.values())
    names = [key.removesuffix(".name") for key in settings]
    label = values[0] if len(values) == 1 else ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True))
    count = min(len(run.rounds) for run in runs)
    last = count - 1
    comparison = compare([run.scores[last] for run in runs], [run.scores[0] for run in runs]) if last else None
    return Group(
        label=label or "all runs",
        short=", ".join(values) or "all runs",
        settings=settings,
        runs=runs,
        rounds=[_round(runs, place) for place in range(count)],
        comparison=comparison,
        measures=round_measures(runs, last),
    )


def _round(runs: Sequence[Run], place: int) -> RoundSummary:
    entries = [run.rounds[place] for run in runs]
    rates = [entry["success_rate"] for entry in entries]
    low, high = entries[0]["success_ci95"] if len(runs) == 1 else mean_interval(rates)
    return RoundSummary(
        label=runs[0].round_labels[place],
        round=entries[0]["round"],
        success_mean=fmean(rates),
        success_ci95=(max(0.0, low), min(1.0, high)),
        success_by_seed=rates,
        score_mean=fmean(entry["score_mean"] for entry in entries),
        steps_mean=fmean(entry["steps_mean"] for entry in entries),
        invalid_action_rate=fmean(entry["invalid_action_rate"] for entry in entries),
        unscored=sum(entry["unscored"] for entry in entries),
        success_by_kind=_by_kind([entry["per_task_type"] for entry in entries]),
    )


def _by_kind(seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    """Return the mean success of each type of task over the seeds that scored one."""
    kinds = sorted({kind for of_seed in seeds for kind in of_seed})
    return {kind: fmean(of_seed[kind]["success_rate"] for of_seed in seeds if kind in of_seed) for kind in kinds}


def _unfinished(jobs: Sequence[JobStatus]) -> list[str]:
    """Return notes about runs that are not in the report, or only in part."""
    unfinished = [job for job in jobs if job.state is not JobState.DONE]
    left_out = [_state(job) for job in unfinished if not job.finished_rounds]
    partial = [_state(job) for job in unfinished if job.finished_rounds]
    return [
        *([f"Left out because no round is finished: {', '.join(left_out)}."] if left_out else []),
        *([f"Not complete: {', '.join(partial)}."] if partial else []),
    ]


def _state(job: JobStatus) -> str:
    why = f": {job.line.rstrip('.')}" if job.state is JobState.FAILED else ""
    return f"{job.name} ({job.state}{why})"


def _notes(groups: Sequence[Group]) -> list[str]:
    """Return warnings about anything that makes a comparison of ``groups`` unfair."""
    notes = []
    runs = [run for group in groups for run in group.runs]
    if len({entry["panel_hash"] for run in runs for entry in run.rounds}) > 1:
        notes.append("The runs were not all evaluated on the same panel: compare them with care.")
    for group in groups:
        lengths = [len(run.rounds) for run in group.runs]
        if len(set(lengths)) > 1:
            notes.append(
                f"{group.label}: the runs have {min(lengths)} to {max(lengths)} rounds; only rounds that all of them "
                "have are used."
            )
        seeds = [run.seed for run in group.runs]
        if len(set(seeds)) < len(seeds):
            notes.append(f"{group.label}: several runs have the same seed, so the interval is too narrow.")
    return notes


def results(sweep: Sweep) -> dict[str, object]:
    """Return the sweep's figures as JSON data."""
    return {"keys": list(sweep.keys), "notes": list(sweep.notes), "groups": [_group_results(g) for g in sweep.groups]}


def _group_results(group: Group) -> dict[str, object]:
    versus = group.comparison
    return {
        "label": group.label,
        "settings": dict(group.settings),
        "seeds": [run.seed for run in group.runs],
        "panel_hash": group.runs[0].rounds[0]["panel_hash"],
        "split": group.runs[0].rounds[0]["split"],
        "rounds": [{name: value for name, value in asdict(entry).items() if name != "label"} for entry in group.rounds],
        "last_round_vs_behaviour_cloning": None
        if versus is None
        else {
            "tasks": versus.tasks,
            "difference": versus.difference,
            "difference_ci95": [versus.low, versus.high],
            "permutation_p": versus.p,
        },
        "last_round_measures": {name: measure.mean for name, measure in group.measures.items()},
        "last_round_measures_ci95": {name: [measure.low, measure.high] for name, measure in group.measures.items()},
    }


def table(sweep: Sweep, folder: Path) -> list[list[object]]:
    """Return a header and one row per run and round, with the settings that distinguish the runs."""
    rows: list[list[object]] = [
        ["run", *sweep.keys, "seed", "round", *CSV_COLUMNS, "success_ci95_low", "success_ci95_high"]
    ]
    for group in sweep.groups:
        for run in group.runs:
            name = run.folder.relative_to(folder).as_posix()
            for entry in run.rounds:
                values = [entry[column] for column in CSV_COLUMNS]
                rows.append([name, *group.settings.values(), run.seed, entry["round"], *values, *entry["success_ci95"]])
    return rows
