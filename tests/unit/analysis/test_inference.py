"""Aggregates, comparisons and corrections, compared with figures computed by hand."""

import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from leap_exp.analysis.inference import holm, interquartile_mean, mean_over_tasks, probability_of_improvement


def seeds(*rows):
    """One mapping per seed; a row is the scores of all seeds on one task."""
    return [{f"task {place}": row[seed] for place, row in enumerate(rows)} for seed in range(len(rows[0]))]


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    scores = seeds((0.0, 0.1), (0.2, 0.4), (0.6, 0.8), (0.9, 1.0))
    found = interquartile_mean(scores)
    assert found.value == pytest.approx((0.2 + 0.4 + 0.6 + 0.8) / 4)
    assert found.low < found.value < found.high


def test_the_interval_over_seeds_covers_what_every_draw_of_seeds_can_give():
    scores = seeds((0.0, 1.0), (0.25, 0.75))
    every = [
        sum(sorted((*first, *second))[1:3]) / 2
        for first in itertools.product((0.0, 1.0), repeat=2)
        for second in itertools.product((0.25, 0.75), repeat=2)
    ]
    found = interquartile_mean(scores, resamples=4_000)
    assert (found.low, found.high) == (min(every), max(every))


def test_with_one_seed_tasks_are_drawn_and_equal_scores_have_no_spread():
    found = interquartile_mean([{f"task {number}": number / 10 for number in range(11)}])
    assert found.low < 0.5 < found.high
    assert interquartile_mean(seeds((1.0, 1.0), (1.0, 1.0))).low == 1.0
    assert mean_over_tasks([{"task": 0.5}]).high == 0.5


def test_tasks_that_a_seed_lacks_do_not_count():
    assert mean_over_tasks([{"a": 0.0, "b": 1.0}, {"a": 0.5}]).value == 0.25
    with pytest.raises(ValueError, match="at least one seed"):
        mean_over_tasks([{"a": 0.0}, {"b": 1.0}])


def test_the_probability_of_improvement_counts_ties_half():
    better, worse = seeds((1.0, 0.5), (0.0, 1.0)), seeds((0.5, 0.0), (0.0, 1.0))
    # First task: 1 > 0.5, 1 > 0, 0.5 = 0.5, 0.5 > 0. Second task: 0 = 0, 0 < 1, 1 > 0, 1 = 1.
    assert probability_of_improvement(better, worse).value == pytest.approx((3.5 / 4 + 2 / 4) / 2)
    assert probability_of_improvement(worse, better).value == pytest.approx(1 - (3.5 / 4 + 2 / 4) / 2)
    assert mannwhitneyu([1.0, 0.5], [0.5, 0.0]).statistic / 4 == 3.5 / 4


def test_holm_multiplies_by_the_tests_that_are_left():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert corrected == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {}


def test_the_figures_are_those_of_rliable():
    """rliable 1.2.0 gave these, with 50,000 draws; it takes matrices of the shape (seeds, tasks)."""
    generator = np.random.default_rng(0)
    matrices = generator.random((5, 12)).round(2), (generator.random((5, 12)) * 0.8).round(2)
    ours, theirs = (
        [{f"{task:02d}": float(score) for task, score in enumerate(row)} for row in matrix] for matrix in matrices
    )
    found = interquartile_mean(ours, resamples=10_000)
    assert (found.value, interquartile_mean(theirs).value) == pytest.approx((0.518333, 0.49), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.426667, 0.604667), abs=0.005)
    assert probability_of_improvement(ours, theirs).value == pytest.approx(0.541667, abs=1e-6)
