"""Prediction: which measure on the data of the first round tells how good an arm will be in the end.

For each measure, Spearman's rank correlation rho (in [-1, 1]) over the arms of a sweep between the measure, taken
before any training on corrections, and the success after the last round. Its 95 % interval is a percentile bootstrap
over arms, its p-value a two-sided permutation test over arms (exact for up to seven), corrected by Holm's method over
the measures. With few arms the interval is wide: it then says that nothing is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from leap_exp.analysis.contrast import paired_interval
from leap_exp.analysis.inference import holm
from leap_exp.analysis.tabular import Array

LEAST_ARMS = 4
"""Fewer arms have no rank correlation worth a look: with 3, the least p-value is 1/3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How well one measure predicts final success.

    Attributes:
        measure: Its name.
        arms: Arms that have it.
        rho: Spearman's rank correlation.
        low: Lower end of the 95 % interval; ``high`` likewise.
        p: p-value of no correlation.
        p_holm: The same, corrected over all measures.
    """

    measure: str
    arms: int
    rho: float
    low: float
    high: float
    p: float
    p_holm: float


def predictions(
    measures: Mapping[str, Sequence[float | None]],
    success: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = 5_000,
) -> list[Prediction]:
    """Return how well each measure predicts ``success``, the strongest correlation first.

    Args:
        measures: By name, the value of each arm; None for an arm that lacks it. A measure that fewer than LEAST_ARMS
            arms have, or that is the same in all, is left out.
        success: Final success of each arm, in the same order.
        seed: Seed of the bootstrap and of the permutations.
        resamples: Number of either.
    """
    found = {}
    for name, column in measures.items():
        pairs = [(value, final) for value, final in zip(column, success, strict=True) if value is not None]
        values = np.array([value for value, _ in pairs], dtype=float)
        finals = np.array([final for _, final in pairs], dtype=float)
        if len(pairs) >= LEAST_ARMS and np.ptp(values) > 0.0 and np.ptp(finals) > 0.0:
            found[name] = _correlation(values, finals, seed=seed, resamples=resamples), len(pairs)
    corrected = holm({name: p for name, ((_, _, _, p), _) in found.items()})
    rows = [
        Prediction(measure=name, arms=arms, rho=rho, low=low, high=high, p=p, p_holm=corrected[name])
        for name, ((rho, low, high, p), arms) in found.items()
    ]
    return sorted(rows, key=lambda row: (-abs(row.rho), row.measure))


def sentence(rows: Sequence[Prediction]) -> str:
    """Return what the predictions mean, in one sentence."""
    if not rows:
        return f"No measure of the first round varies over {LEAST_ARMS} arms or more, so nothing can be predicted."
    best = rows[0]
    direction = "higher" if best.rho > 0 else "lower"
    figures = f"rho = {best.rho:+.2f}, {best.low:+.2f} to {best.high:+.2f}, {best.arms} arms, p = {best.p_holm:.3f}"
    if best.p_holm <= 0.05:
        return f"Arms with a {direction} {best.measure} in the first round end with more success ({figures})."
    return (
        f"No measure of the first round predicts final success reliably; the nearest is a {direction} {best.measure} "
        f"({figures} after correction)."
    )


def _correlation(values: Array, finals: Array, *, seed: int, resamples: int) -> tuple[float, float, float, float]:
    # A draw in which all arms have one value has no correlation.
    low, high = paired_interval((values, finals), _spearman, seed=seed, resamples=resamples)
    test = stats.permutation_test(
        (values,),
        lambda permuted, axis: _spearman(permuted, finals, axis),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=resamples + 1,
        rng=np.random.default_rng(seed),
    )
    return float(_spearman(values, finals, -1)), low, high, float(test.pvalue)


def _spearman(first: Array, second: Array, axis: int) -> Array:
    """Return Spearman's correlation along ``axis``, as scipy.stats.spearmanr does, which takes no batches."""
    ranks = [stats.rankdata(each, axis=axis) for each in (first, second)]
    centred = [each - each.mean(axis=axis, keepdims=True) for each in ranks]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((centred[0] ** 2).sum(axis=axis) * (centred[1] ** 2).sum(axis=axis))
        correlation: Array = (centred[0] * centred[1]).sum(axis=axis) / spread
    return correlation
