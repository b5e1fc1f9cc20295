"""What the runs of an arm show beyond success, as means over seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.analysis.run import Run
from leap_exp.analysis.statistics import mean_interval

_KINDS = ("realizability/", "leakage/share")
"""How the metrics of a round begin that are measures of its corrections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMean:
    """A mean over seeds with Student's 95 % interval; a single seed, whose spread is unknown, has no interval.

    The interval is cut to the range that a value can have.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> "SeedMean":
        """Return the mean of one value per seed, each from ``least`` to ``most``."""
        low, high = mean_interval(values)
        return cls(mean=fmean(values), low=max(least, low), high=min(most, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmBound:
    """The bound of an arm after its last measured round, means over seeds; see ``analysis.bound`` for the terms.

    Attributes:
        rounds: N.
        best: The left side, max J(π_i)/T.
        right: The right side: ``teacher`` - ``gap`` - ``regret``.
        teacher: J(π^E)/T.
        gap: H·ε.
        regret: gamma(N).
        recoverability: H, in the unit of J.
        epsilon: ε, in [0, 2].
        holds: Seeds for which the inequality holds.
        seeds: Seeds that it was measured for.
    """

    rounds: int
    best: SeedMean
    right: SeedMean
    teacher: SeedMean
    gap: SeedMean
    regret: SeedMean
    recoverability: SeedMean
    epsilon: SeedMean
    holds: int
    seeds: int


def round_measures(runs: Sequence[Run], place: int) -> dict[str, SeedMean]:
    """Return the measures of a round, given by its place, that every seed has: ``MEASURE/SAMPLE_FIGURE``."""
    by_run = [_of_run(run, place) for run in runs]
    names = set.intersection(*(set(each) for each in by_run))
    return {name: SeedMean.of([each[name] for each in by_run], *_range(name)) for name in sorted(names)}


def _range(name: str) -> tuple[float, float]:
    """Return the least and the greatest value of a measure, where its kind tells."""
    if name.endswith("share"):
        return 0.0, 1.0
    if name.endswith(("epsilon", "epsilon_before", "floor")):
        return 0.0, 2.0
    if name.startswith("information/") or name.endswith("_steps"):
        return 0.0, math.inf
    return -math.inf, math.inf


def _of_run(run: Run, place: int) -> dict[str, float]:
    index = run.rounds[place]["round"]
    found = {
        name: values[place]
        for name in run.metric_names
        if name.startswith(_KINDS) and place in (values := dict(run.series(name)))
    }
    found |= run.measured(index)
    for entry in run.analysis.get("rounds", ()):
        if entry["round"] == index:
            found |= dict(_flat_figures(entry))
    return found


def _flat_figures(entry: Mapping[str, object]) -> Iterable[tuple[str, float]]:
    """Yield the figures that are not by depth: utility of facts and leakage to a reader."""
    for measure, figure in (("utility", "utility"), ("reader", "excess_nats")):
        found = entry.get(measure)
        if isinstance(found, Mapping):
            yield f"{measure}/{figure}", float(found[figure])


def arm_bound(runs: Sequence[Run]) -> ArmBound | None:
    """Return the bound of an arm; None if ``leap analyse`` has not measured it for every seed."""
    tables = [run.analysis.get("bound") or [] for run in runs]
    count = min(map(len, tables))
    if not count:
        return None
    rows = [table[count - 1] for table in tables]
    gaps = [row["recoverability"] * row["epsilon"] for row in rows]
    return ArmBound(
        rounds=count,
        best=SeedMean.of([row["right"] + row["slack"] for row in rows]),
        right=SeedMean.of([row["right"] for row in rows]),
        teacher=SeedMean.of([row["right"] + gap + row["gamma"] for row, gap in zip(rows, gaps, strict=True)]),
        gap=SeedMean.of(gaps, 0.0),
        regret=SeedMean.of([row["gamma"] for row in rows], 0.0),
        recoverability=SeedMean.of([row["recoverability"] for row in rows], 0.0),
        epsilon=SeedMean.of([row["epsilon"] for row in rows], 0.0, 2.0),
        holds=sum(bool(row["holds"]) for row in rows),
        seeds=len(rows),
    )
