"""Statistics over the seeds and tasks of a sweep: aggregates with intervals, comparisons, corrections for many tests.

The figures are those that Agarwal et al. 2021 (Deep reinforcement learning at the edge of the statistical precipice)
recommend, computed by scipy and statsmodels. Their package, rliable, gives the same ones, but it is not maintained: it
needs a version of a library of time series that does not work with pandas 3, and a library of plots.

Scores are given as in ``statistics.pair_by_task``: one mapping from task to score per seed. A task counts if every seed
scored it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

Scores = Sequence[Mapping[str, float]]

_QUARTER = 0.25
_BATCH = 500
"""Resamples at a time, so that they fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval; the ends are the figure itself where its spread is unknown."""

    value: float
    low: float
    high: float


def score_matrix(scores: Scores) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the scores of the tasks that every seed has, of shape (tasks, seeds), tasks in sorted order.

    Raises:
        ValueError: There is no seed, or no task that all of them have.
    """
    tasks = sorted(set.intersection(*(set(each) for each in scores))) if scores else []
    if not tasks:
        raise ValueError("Statistics need at least one seed, and a task that every seed has scored.")
    return np.array([[each[task] for each in scores] for task in tasks], dtype=float)


def interquartile_mean(scores: Scores, *, seed: int = 0, resamples: int = 2_000, confidence: float = 0.95) -> Estimate:
    """Return the mean of the middle half of all scores, over tasks and seeds together (in the unit of the scores).

    It is as robust as a median and as precise as a mean. For scores that are 0 or 1 it says little: it is 0 or 1 unless
    between a quarter and three quarters of them are 1.

    The interval is a percentile bootstrap that draws seeds within each task (the tasks are the strata), as rliable's
    does: what other seeds would give on these tasks. With a single seed it draws tasks: what other tasks would give.
    """
    matrix_TS = score_matrix(scores)

    def middle(*rows: Any, axis: int) -> Any:  # noqa: ANN401, ARG001 - scipy passes arrays (..., S), one per task
        together = np.stack(rows, axis=-2)
        return stats.trim_mean(together.reshape(*together.shape[:-2], -1), _QUARTER, axis=-1)

    samples = tuple(matrix_TS) if matrix_TS.shape[1] > 1 else (matrix_TS[:, 0],)
    value = float(stats.trim_mean(matrix_TS, _QUARTER, axis=None))
    return _estimate(value, samples, middle, seed=seed, resamples=resamples, confidence=confidence)


def mean_over_tasks(scores: Scores, *, seed: int = 0, resamples: int = 2_000, confidence: float = 0.95) -> Estimate:
    """Return the mean score with a percentile bootstrap that draws tasks, each with all of its seeds."""
    means_T = score_matrix(scores).mean(axis=1)
    return _estimate(float(means_T.mean()), (means_T,), np.mean, seed=seed, resamples=resamples, confidence=confidence)


def probability_of_improvement(
    better: Scores, worse: Scores, *, seed: int = 0, resamples: int = 2_000, confidence: float = 0.95
) -> Estimate:
    """Return the probability that a run of ``better`` scores higher than one of ``worse`` on a task, in [0, 1].

    The mean over tasks of U / (n·m), with the Mann-Whitney statistic U of the n and m seeds of the two conditions;
    equal scores count half (Agarwal et al. 2021, section 4.3). 0.5 means no difference. The interval draws tasks.
    """
    tasks = set.intersection(*(set(each) for each in (*better, *worse))) if better and worse else set()
    first_TS = score_matrix([{task: each[task] for task in tasks} for each in better])
    second_TS = score_matrix([{task: each[task] for task in tasks} for each in worse])
    pairs = first_TS.shape[1] * second_TS.shape[1]
    wins_T = stats.mannwhitneyu(first_TS, second_TS, axis=1, method="asymptotic").statistic / pairs
    return _estimate(float(wins_T.mean()), (wins_T,), np.mean, seed=seed, resamples=resamples, confidence=confidence)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values corrected by Holm's method (Holm 1979), by name.

    The chance that any of the tests whose corrected value is at most alpha is a false alarm is then at most alpha,
    however the tests depend on each other.
    """
    if not p_values:
        return {}
    _, corrected, _, _ = multipletests(list(p_values.values()), method="holm")
    return dict(zip(p_values, map(float, corrected), strict=True))


def _estimate(
    value: float,
    samples: tuple[Any, ...],
    statistic: Any,  # noqa: ANN401 - a function of arrays
    *,
    seed: int,
    resamples: int,
    confidence: float,
) -> Estimate:
    """Return ``value`` with the percentile interval of ``statistic``, each of ``samples`` drawn on its own."""
    # Scipy's bootstrap refuses a sample of one, and samples without any spread have an interval of one point.
    if min(map(len, samples)) < 2 or all(np.ptp(sample) == 0.0 for sample in samples):
        return Estimate(value=value, low=value, high=value)
    interval = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=_BATCH,
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value=value, low=float(interval.low), high=float(interval.high))
