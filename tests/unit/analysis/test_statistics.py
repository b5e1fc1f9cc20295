"""Intervals and tests compared with published values, exact enumeration and scipy."""

import itertools
import random
import statistics

import pytest
from scipy.stats import binomtest, t

from leap_exp.analysis.statistics import (
    bootstrap_interval,
    compare,
    mean_interval,
    pair_by_task,
    permutation_test,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_matches_newcombe(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_equals_scipy_up_to_rounding():
    for n in (1, 7, 40):
        for successes in range(n + 1):
            reference = binomtest(successes, n).proportion_ci(method="wilson")
            assert wilson_interval(successes, n) == pytest.approx((reference.low, reference.high), abs=1e-14)


def test_wilson_interval_is_symmetric_and_stays_in_range():
    low, high = wilson_interval(19, 29, confidence=0.9)
    mirrored = wilson_interval(10, 29, confidence=0.9)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)
    assert wilson_interval(7, 7)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_refuses_more_successes_than_episodes():
    with pytest.raises(ValueError, match="5 successes in 4"):
        wilson_interval(5, 4)


def test_mean_interval_is_student_t():
    low, high = mean_interval([0.5, 0.6, 0.7])
    half = 4.303 * 0.1 / 3**0.5
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-6)
    assert mean_interval([0.4]) == (0.4, 0.4)
    for n in (2, 5, 21):
        half = t.ppf(0.975, n - 1) / n**0.5 * statistics.stdev(range(n))
        assert mean_interval(range(n))[1] - (n - 1) / 2 == pytest.approx(half, rel=5e-4)


def test_pairing_averages_seeds_and_skips_tasks_that_one_condition_lacks():
    a = [{"t1": 1.0, "t2": 0.0}, {"t1": 0.0, "t2": 1.0, "t3": 1.0}]
    b = [{"t1": 0.0, "t2": 0.0, "t3": 0.0}, {"t1": 0.0}]
    assert pair_by_task(a, b) == ([0.5, 0.0], [0.0, 0.0])


def brute_force(a, b):
    differences = [x - y for x, y in zip(a, b, strict=True)]
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(a))
    ]
    return sum(value >= sum(differences) - 1e-9 for value in sums) / len(sums)


def test_permutation_test_equals_full_enumeration():
    generator = random.Random(0)
    for _ in range(20):
        a = [generator.randrange(4) / 3 for _ in range(9)]
        b = [generator.randrange(4) / 3 for _ in range(9)]
        assert permutation_test(a, b, seed=1) == pytest.approx(brute_force(a, b))


def test_permutation_test_known_values():
    assert permutation_test([1] * 5, [0] * 5, seed=0) == 1 / 32
    assert permutation_test([0] * 5, [1] * 5, seed=0) == 1.0
    assert permutation_test([1, 0], [1, 0], seed=0) == 1.0


def test_sampled_permutations_agree_with_the_exact_p_value():
    # 20 tasks won and 10 lost: exact binomial tail P(X >= 20), X ~ B(30, 1/2) = 0.04937.
    a, b = [1] * 20 + [0] * 10, [0] * 20 + [1] * 10
    p = permutation_test(a, b, seed=3)
    assert p == pytest.approx(0.04937, abs=0.01)
    assert p == permutation_test(a, b, seed=3)


def test_sampled_p_value_is_never_zero():
    assert permutation_test([1] * 60, [0] * 60, seed=0, permutations=99) == 0.01


def test_bootstrap_interval_covers_the_difference_and_narrows_with_tasks():
    few = bootstrap_interval([1, 0, 1, 1] * 5, [0, 0, 1, 0] * 5, seed=0, resamples=2000)
    many = bootstrap_interval([1, 0, 1, 1] * 50, [0, 0, 1, 0] * 50, seed=0, resamples=2000)
    assert few[0] < 0.5 < few[1]
    assert many[1] - many[0] < few[1] - few[0]
    # Normal approximation: 0.5 ± 1.96 * 0.5 / sqrt(200).
    assert many == pytest.approx((0.431, 0.569), abs=0.02)


def test_compare_pairs_tasks_and_needs_one_in_common():
    result = compare([{"t1": 1.0, "t2": 1.0, "t3": 0.0}], [{"t1": 0.0, "t2": 0.0, "t4": 1.0}])
    assert (result.tasks, result.before, result.after, result.difference, result.p) == (2, 0.0, 1.0, 1.0, 0.25)
    assert compare([{"t1": 1.0}], [{"t2": 1.0}]) is None
