"""Intervals and tests for success rates.

The unit of inference is the panel task: two rounds, or two runs, are evaluated on the same tasks, so every comparison
is paired by task. Several seeds of one experiment are first averaged task by task (``pair_by_task``): another seed
makes each task's score more precise but adds no tasks.

scipy.stats is not used: its Wilson interval differs from this one in the last bit, its permutation test and bootstrap
draw other random numbers, and importing it takes more than a second.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import NormalDist, fmean, stdev

TIE_TOLERANCE = 1e-9
"""Sums closer than this count as equal, since sums of the same numbers with flipped signs differ by rounding."""

T_QUANTILES_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""Two-sided 95 % quantiles of Student's t for 1 to 20 degrees of freedom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two conditions on the same panel, paired by task: mean scores, 95 % interval of the difference, p-value."""

    tasks: int
    before: float
    after: float
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        """How much better the condition ``after`` is."""
        return self.after - self.before


def compare(after: Sequence[Mapping[str, float]], before: Sequence[Mapping[str, float]]) -> Comparison | None:
    """Compare scores by task, one mapping per seed, as in ``pair_by_task``; None if no task was scored in both."""
    scores_after, scores_before = pair_by_task(after, before)
    if not scores_after:
        return None
    low, high = bootstrap_interval(scores_after, scores_before, seed=0)
    return Comparison(
        tasks=len(scores_after),
        before=sum(scores_before) / len(scores_before),
        after=sum(scores_after) / len(scores_after),
        low=low,
        high=high,
        p=permutation_test(scores_after, scores_before, seed=0),
    )


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a success rate (Wilson 1927), without continuity correction.

    Args:
        successes: Number of successes, or the sum of the success rates of tasks, 0 to ``n``.
        n: Number of scored episodes. Without any, the interval is (0, 1).
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        The lower and the upper end, in [0, 1].
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
    # At the ends the bound is exact; rounding would give 1e-17 or 0.999....
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return low, high


def pass_at_k(n: int, successes: int, k: int) -> float:
    """Return the unbiased estimate, from ``n`` episodes of a task, that at least one of ``k`` episodes succeeds.

    Chen et al. 2021 (Codex), equation 1: 1 - C(n - c, k) / C(n, k) with c successes. It needs n >= k.
    """
    return 1.0 - comb(n - successes, k) / comb(n, k)


def pass_all_k(n: int, successes: int, k: int) -> float:
    """Return the unbiased estimate, from ``n`` episodes of a task, that all of ``k`` episodes succeed.

    Yao et al. 2024 (tau-bench), pass^k in section 4: C(c, k) / C(n, k) with c successes. It needs n >= k.
    """
    return comb(successes, k) / comb(n, k)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's t 95 % interval for the mean of a few independent values, such as one success rate per seed.

    The interval of a single value, whose spread is unknown, is that value alone.
    """
    mean = fmean(values)
    if len(values) == 1:
        return mean, mean
    degrees = len(values) - 1
    t = T_QUANTILES_95[degrees - 1] if degrees <= len(T_QUANTILES_95) else NormalDist().inv_cdf(0.975)
    spread = t * stdev(values) / len(values) ** 0.5
    return mean - spread, mean + spread


def pair_by_task(a: Sequence[Mapping[str, float]], b: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float]]:
    """Return the mean over seeds of each task's score, for two conditions run with the same seeds.

    Args:
        a: One mapping from task id to score per seed. A task that was not scored is not in its mapping.
        b: The same seeds, in the same order, under the other condition.

    Returns:
        The means of the two conditions, by task in sorted order. A task counts for a seed only if both conditions
        scored it, and is left out if that holds for no seed.
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
    """Test with random sign flips whether ``a`` is better than ``b``, one-sided and paired by task.

    H0: for each task, chance decides which of its two scores belongs to which condition, so the sign of every
    difference may be flipped. H1: ``a`` scores higher on average. Tasks with equal scores do not affect the result.

    Args:
        a: Scores of the condition that is claimed to be better, one per task (means over seeds; see ``pair_by_task``).
        b: Scores of the other condition, for the same tasks in the same order.
        seed: Seed of the random flips; not used if all flips can be enumerated.
        permutations: Number of random flips. If there are no more than this, all flips are enumerated instead.

    Returns:
        The p-value: the exact share of flips whose sum is at least the observed one, or its Monte Carlo estimate
        (1 + such flips) / (1 + permutations), which is never 0.
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
    """Return the sum of ``differences`` with the sign flipped where ``flip`` has a bit set."""
    return sum(-value if flip >> bit & 1 else value for bit, value in enumerate(differences))


def bootstrap_interval(
    a: Sequence[float], b: Sequence[float], *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean paired difference ``a - b``, resampling tasks.

    Args:
        a: Scores of one condition, one per task; at least one task.
        b: Scores of the other, for the same tasks in the same order.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        The lower and the upper end.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if not differences:
        raise ValueError("The bootstrap needs at least one task that both conditions scored.")
    generator = random.Random(seed)
    means = sorted(fmean(generator.choices(differences, k=len(differences))) for _ in range(resamples))
    tail = (1 - confidence) / 2
    return means[int(tail * resamples)], means[min(resamples - 1, int((1 - tail) * resamples))]
