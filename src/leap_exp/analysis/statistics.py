"""Intervals and tests for success rates.

The unit of inference is the panel task: two rounds, or two runs, are evaluated on the same tasks, so each comparison
is paired by task. Several seeds of one experiment are first averaged task by task (``pair_by_task``): one more seed
makes each task's figure steadier but adds no tasks.
"""

import random
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean, stdev

TIE_TOLERANCE = 1e-9
"""Sums closer than this are equal: flipped sums of the same numbers differ only by rounding."""

T_QUANTILES_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""Two-sided 95 % quantiles of Student's t for 1 to 20 degrees of freedom."""


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a success rate (Wilson 1927), without continuity correction.

    Args:
        successes: number of successes, 0 to ``n``.
        n: number of scored episodes; 0 gives (0, 1), since nothing is known.
        confidence: two-sided coverage, in (0, 1).

    Returns:
        Lower and upper end, within [0, 1].
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} episodes: need 0 <= successes <= n.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / n
    centre = rate + z * z / (2 * n)
    spread = z * ((rate * (1 - rate) + z * z / (4 * n)) / n) ** 0.5
    scale = 1 + z * z / n
    # At the ends the bound is exact; rounding would leave 1e-17 or 0.999....
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return low, high


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's t 95 % interval for the mean of a few independent values, such as one success rate a seed.

    A single value has no spread to judge by: the interval is that value alone.
    """
    mean = fmean(values)
    if len(values) == 1:
        return mean, mean
    degrees = len(values) - 1
    t = T_QUANTILES_95[degrees - 1] if degrees <= len(T_QUANTILES_95) else NormalDist().inv_cdf(0.975)
    spread = t * stdev(values) / len(values) ** 0.5
    return mean - spread, mean + spread


def pair_by_task(a: Sequence[Mapping[str, float]], b: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float]]:
    """Mean over seeds of each task's score, for two conditions run with the same seeds.

    Args:
        a: one mapping from task id to score a seed; a task that was not scored is left out of its mapping.
        b: the same seeds, in the same order, under the other condition.

    Returns:
        The two conditions' means, task by task in sorted order. A task counts for a seed only where both conditions
        scored it, and drops out if no seed has it in both.
    """
    scores_a: dict[str, list[float]] = {}
    scores_b: dict[str, list[float]] = {}
    for seed_a, seed_b in zip(a, b, strict=True):
        for task_id in seed_a.keys() & seed_b.keys():
            scores_a.setdefault(task_id, []).append(seed_a[task_id])
            scores_b.setdefault(task_id, []).append(seed_b[task_id])
    tasks = sorted(scores_a)
    return [fmean(scores_a[task]) for task in tasks], [fmean(scores_b[task]) for task in tasks]


def permutation_test(a: Sequence[float], b: Sequence[float], *, seed: int, permutations: int = 10_000) -> float:
    """One-sided sign-flip permutation test that ``a`` is better than ``b``, paired by task.

    H0: for each task, which of its two scores belongs to which condition is a matter of chance, so the sign of every
    difference may be flipped. H1: ``a`` scores higher on average. Tasks with equal scores carry no information and do
    not change the result.

    Args:
        a: scores of the condition that is claimed to be better, one a task (means over seeds; see ``pair_by_task``).
        b: scores of the other condition, same tasks and order.
        seed: seed of the random flips; not used where all flips can be enumerated.
        permutations: random flips to draw; all flips are enumerated instead if there are no more than this.

    Returns:
        The p-value: the exact share of flips with a sum at least as large as the observed one, or its Monte-Carlo
        estimate (1 + such flips) / (1 + permutations), which is never 0.
    """
    differences = [x - y for x, y in zip(a, b, strict=True) if abs(x - y) > TIE_TOLERANCE]
    observed = sum(differences) - TIE_TOLERANCE
    if 2 ** len(differences) <= permutations:
        flips = range(2 ** len(differences))
        return sum(_flipped_sum(differences, flip) >= observed for flip in flips) / len(flips)
    generator = random.Random(seed)
    draws = (generator.getrandbits(len(differences)) for _ in range(permutations))
    return (1 + sum(_flipped_sum(differences, flip) >= observed for flip in draws)) / (1 + permutations)


def _flipped_sum(differences: Sequence[float], flip: int) -> float:
    """The sum of ``differences`` with the signs flipped where ``flip`` has a bit set."""
    return sum(-value if flip >> bit & 1 else value for bit, value in enumerate(differences))


def bootstrap_interval(
    a: Sequence[float], b: Sequence[float], *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean paired difference ``a - b``, resampling tasks.

    Args:
        a: scores of one condition, one a task.
        b: scores of the other, same tasks and order; at least one task.
        seed: seed of the resampling.
        resamples: number of bootstrap samples.
        confidence: two-sided coverage, in (0, 1).

    Returns:
        Lower and upper end of the interval.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if not differences:
        raise ValueError("The bootstrap needs at least one task that both conditions scored.")
    generator = random.Random(seed)
    means = sorted(fmean(generator.choices(differences, k=len(differences))) for _ in range(resamples))
    tail = (1 - confidence) / 2
    return means[int(tail * resamples)], means[min(resamples - 1, int((1 - tail) * resamples))]
