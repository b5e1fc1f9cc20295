"""Realizability from log-probabilities."""

import math

import pytest

from leap_exp.analysis.realizability import agreement, measure
from leap_exp.core.types import Decision


def decide(action):
    return Decision(reason="", action=action)


@pytest.fixture
def corrections(correct):
    return [
        correct(("a", "look", decide("look")), ("b", "wait", decide("go"))),
        correct(("c", "open", decide("open"))),
    ]


def test_measure_reports_means_gain_and_the_l1_gap(corrections):
    before = [math.log(0.5), math.log(0.1), math.log(1.0)]
    after = [math.log(0.5), math.log(0.9), math.log(1.0)]
    metrics = measure(corrections, before, after, sample="heldout")
    assert metrics["realizability/heldout_logprob_before_nats"] == pytest.approx(math.log(0.05) / 3)
    assert metrics["realizability/heldout_gain_nats"] == pytest.approx(math.log(9) / 3)
    assert metrics["realizability/heldout_changed_gain_nats"] == pytest.approx(math.log(9))
    assert metrics["realizability/heldout_epsilon_before"] == pytest.approx(2 * (0.5 + 0.9 + 0) / 3)
    assert metrics["realizability/heldout_epsilon"] == pytest.approx(2 * (0.5 + 0.1 + 0) / 3)


def test_measure_without_changed_steps_has_no_gain_for_them(correct):
    unchanged = [correct(("a", "look", decide("look")))]
    metrics = measure(unchanged, [-1.0], [-0.5], sample="train")
    assert "realizability/train_changed_gain_nats" not in metrics
    assert metrics["realizability/train_gain_nats"] == 0.5


def test_measure_needs_one_logprob_per_step(corrections):
    with pytest.raises(ValueError):
        measure(corrections, [-1.0, -1.0], [-1.0, -1.0, -1.0], sample="train")
    with pytest.raises(ValueError, match="no corrected steps"):
        measure([], [], [], sample="train")


def test_agreement_counts_equal_actions(corrections):
    metrics = agreement(corrections)
    assert metrics["realizability/agreement_share"] == pytest.approx(2 / 3)
    assert metrics["realizability/changed_share"] == pytest.approx(1 / 3)
