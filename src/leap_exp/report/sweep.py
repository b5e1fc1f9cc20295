"""Several runs, grouped by what differs among them besides the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from leap_exp.analysis.statistics import mean_interval
from leap_exp.core.errors import StoreError
from leap_exp.report.run import Run, is_run, natural_key, read_run
from leap_exp.report.run_page import Comparison, compare

BOOKKEEPING = ("seed", "run_dir", "pi_0", "round_0_seed", "tracker")
"""Settings that do not make an experiment another one."""

TRADE_OFF = {
    "realizability/heldout_epsilon": "epsilon, held out",
    "realizability/heldout_gain_nats": "gain, held out (nats)",
    "realizability/changed_share": "steps changed",
    "leakage/share": "reasons leaking",
}
"""What a sweep shows of the last round beside success, and under which heading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSummary:
    """One round of a group: the mean over its seeds."""

    round: int
    label: str
    success: float
    interval: tuple[float, float]
    by_seed: Sequence[float]
    score: float
    steps: float
    invalid: float
    unscored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of the same experiment with different seeds; ``settings`` is what sets it apart from other groups."""

    label: str
    settings: Mapping[str, object]
    runs: Sequence[Run]
    rounds: Sequence[RoundSummary]
    comparison: Comparison | None
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Groups in natural order, what sets them apart, and what a reader must know before comparing them."""

    name: str
    keys: Sequence[str]
    groups: Sequence[Group]
    notes: Sequence[str]


def read_sweep(folder: Path) -> Sweep:
    """Read all runs below ``folder``; raises StoreError if there are none."""
    runs = [read_run(path.parent) for path in sorted(folder.rglob("summary.json"))]
    if not runs:
        raise StoreError(f"{folder} holds no run with a finished round; give a run's folder, or that of a sweep.")
    keys = _distinguishing(runs)
    members: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        members.setdefault(tuple(str(run.config.get(key)) for key in keys), []).append(run)
    groups = [
        _group(dict(zip(keys, values, strict=True)), sorted(members[values], key=lambda run: run.seed))
        for values in sorted(members, key=lambda values: [natural_key(value) for value in values])
    ]
    unfinished = sorted(path.parent for path in folder.rglob("provenance.json") if not is_run(path.parent))
    notes = _notes(groups, [str(path.relative_to(folder)) for path in unfinished])
    return Sweep(name=folder.resolve().name, keys=keys, groups=groups, notes=notes)


def _distinguishing(runs: Sequence[Run]) -> list[str]:
    """The settings that differ among ``runs``; of several that split them in the same way, the first."""
    names = list(dict.fromkeys(key for run in runs for key in run.config))
    found: dict[tuple[int, ...], str] = {}
    for key in names:
        values = [str(run.config.get(key)) for run in runs]
        if key.split(".")[0] in BOOKKEEPING or len(set(values)) == 1:
            continue
        first_seen = list(dict.fromkeys(values))
        found.setdefault(tuple(first_seen.index(value) for value in values), key)
    return list(found.values())


def _group(settings: Mapping[str, str], runs: Sequence[Run]) -> Group:
    values = list(settings.values())
    names = [key.removesuffix(".name") for key in settings]
    label = values[0] if len(values) == 1 else ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True))
    count = min(len(run.rounds) for run in runs)
    last = count - 1
    comparison = compare([run.scores[last] for run in runs], [run.scores[0] for run in runs]) if last else None
    return Group(
        label=label or "all runs",
        settings=settings,
        runs=runs,
        rounds=[_round(runs, place) for place in range(count)],
        comparison=comparison,
        measures=_measures(runs, last),
    )


def _round(runs: Sequence[Run], place: int) -> RoundSummary:
    entries = [run.rounds[place] for run in runs]
    rates = [entry["success_rate"] for entry in entries]
    low, high = entries[0]["success_ci95"] if len(runs) == 1 else mean_interval(rates)
    return RoundSummary(
        round=entries[0]["round"],
        label=runs[0].round_labels[place],
        success=fmean(rates),
        interval=(max(0.0, low), min(1.0, high)),
        by_seed=rates,
        score=fmean(entry["score_mean"] for entry in entries),
        steps=fmean(entry["steps_mean"] for entry in entries),
        invalid=fmean(entry["invalid_action_rate"] for entry in entries),
        unscored=sum(entry["unscored"] for entry in entries),
    )


def _measures(runs: Sequence[Run], place: int) -> dict[str, float]:
    """The means over seeds of what TRADE_OFF names, where every seed has it."""
    values = {name: [dict(run.series(name)).get(place) for run in runs] for name in TRADE_OFF}
    return {
        name: fmean(value for value in column if value is not None)
        for name, column in values.items()
        if all(value is not None for value in column)
    }


def _notes(groups: Sequence[Group], unfinished: Sequence[str]) -> list[str]:
    """What would make a comparison of ``groups`` unfair."""
    notes = []
    if unfinished:
        notes.append(f"Left out, as no round is finished: {', '.join(unfinished)}.")
    runs = [run for group in groups for run in group.runs]
    if len({entry["panel_hash"] for run in runs for entry in run.rounds}) > 1:
        notes.append("The runs were not all evaluated on the same panel: compare them with care.")
    for group in groups:
        lengths = [len(run.rounds) for run in group.runs]
        if len(set(lengths)) > 1:
            notes.append(
                f"{group.label}: runs of {min(lengths)} to {max(lengths)} rounds; only rounds that all have count."
            )
        seeds = [run.seed for run in group.runs]
        if len(set(seeds)) < len(seeds):
            notes.append(f"{group.label}: several runs have the same seed, so the interval is too narrow.")
    return notes
