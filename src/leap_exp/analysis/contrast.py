"""Error-step contrast: whether a signal is at the steps where the student erred, or everywhere alike.

A signal is a number for each step: how much the facts change the student's distribution there (``briefing``), or how
much likelier training made the teacher's action. An error is a step at which the student's action costs something by
the exact cost-to-go or, where that is unknown, one that the teacher changed.

    contrast = mean over error steps - mean over other steps   [unit of the signal]
    AUC = P(signal at an error > signal at another step), equal ones counting half   [0.5: no relation]

The interval draws trajectories, because steps of one trajectory are not independent.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import stats

from leap_exp.analysis.tabular import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal at one step: which trajectory it is of, its value, and whether the student erred."""

    trajectory: str
    value: float
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A contrast with its 95 % interval; the terms are explained in the module."""

    errors: int
    others: int
    error_mean: float
    other_mean: float
    contrast: float
    low: float
    high: float
    auc: float


def contrast(signals: Sequence[Signal], *, seed: int = 0, resamples: int = 2_000) -> Contrast | None:
    """Return the contrast, or None if there are no errors or nothing else."""
    errors = [signal.value for signal in signals if signal.is_error]
    others = [signal.value for signal in signals if not signal.is_error]
    if not errors or not others:
        return None
    names = sorted({signal.trajectory for signal in signals})
    # By trajectory: sum and number of its error steps, sum and number of its other steps.
    sums_QN = np.zeros((4, len(names)))
    for signal in signals:
        column = names.index(signal.trajectory)
        sums_QN[0 if signal.is_error else 2, column] += signal.value
        sums_QN[1 if signal.is_error else 3, column] += 1
    difference = fmean(errors) - fmean(others)
    low = high = difference
    if len(names) > 1:
        low, high = paired_interval(tuple(sums_QN), _difference, seed=seed, resamples=resamples)
    return Contrast(
        errors=len(errors),
        others=len(others),
        error_mean=fmean(errors),
        other_mean=fmean(others),
        contrast=difference,
        low=low,
        high=high,
        auc=float(stats.mannwhitneyu(errors, others).statistic) / (len(errors) * len(others)),
    )


def paired_interval(
    samples: tuple[Array, ...], statistic: Callable[..., Array], *, seed: int, resamples: int
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of ``statistic``, drawing the same places of all ``samples``.

    A draw in which the statistic is not a number does not count.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    low, high = np.nanquantile(drawn.bootstrap_distribution, [0.025, 0.975])
    return float(low), float(high)


def _difference(error_sum: Array, errors: Array, other_sum: Array, others: Array, axis: int) -> Array:
    """Return the difference of means; not a number in a draw without errors, or with nothing else."""
    with np.errstate(invalid="ignore", divide="ignore"):
        difference: Array = error_sum.sum(axis) / errors.sum(axis) - other_sum.sum(axis) / others.sum(axis)
    return difference
