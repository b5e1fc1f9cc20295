"""Realizability by depth, contrast, utility, leakage to a reader, and prediction: small cases computed by hand."""

import math
from dataclasses import replace

import pytest
from scipy.stats import spearmanr
from tests.support.records import trajectory

from leap_exp.analysis.contrast import Signal, contrast
from leap_exp.analysis.prediction import predictions, sentence
from leap_exp.analysis.reader import reader_leakage, reason_leaks
from leap_exp.analysis.realizability import by_depth
from leap_exp.analysis.utility import utility_of_facts
from leap_exp.core.types import Decision, Task


def decide(action, reason=""):
    return Decision(reason=reason, action=action)


def test_realizability_by_depth(correct):
    corrections = [correct(("a", "x", decide("x")), ("b", "y", decide("z"))), correct(("c", "x", decide("y")))]
    before = [math.log(0.5), math.log(0.1), math.log(0.2)]
    after = [math.log(0.5), math.log(0.9), math.log(0.6)]
    everything, first, second = by_depth(corrections, before, after)
    assert (first.steps, second.steps, everything.steps) == (2, 1, 3)
    assert (first.epsilon_before, first.epsilon) == pytest.approx((2 * (0.5 + 0.8) / 2, 2 * (0.5 + 0.4) / 2))
    assert second.logprob_after_nats == pytest.approx(math.log(0.9))
    assert (first.changed_share, second.changed_share) == (0.5, 1.0)
    assert everything.epsilon == pytest.approx(2 * (0.5 + 0.1 + 0.4) / 3)
    assert by_depth([], [], []) == []


def test_a_contrast_is_the_difference_of_means_with_an_interval_over_trajectories():
    values = {"a": [(1.0, True), (0.0, False)], "b": [(3.0, True), (0.5, False)], "c": [(0.5, False)]}
    signals = [
        Signal(trajectory=name, value=value, is_error=is_error)
        for name, steps in values.items()
        for value, is_error in steps
    ]
    found = contrast(signals)
    assert (found.error_mean, found.other_mean) == pytest.approx((2.0, 1 / 3))
    assert found.contrast == pytest.approx(5 / 3)
    assert found.auc == 1.0
    assert found.low == pytest.approx(0.75, abs=0.3)
    assert found.high == pytest.approx(2.5, abs=0.3)
    assert contrast([signal for signal in signals if signal.is_error]) is None


def test_utility_pairs_tasks_that_both_have_scored():
    unbriefed = [trajectory("look", name=name, score=score) for name, score in (("1", 0.0), ("2", 1.0), ("3", 0.0))]
    briefed = [trajectory("look", name=name, score=1.0) for name in ("1", "2", "4")]
    found = utility_of_facts(briefed, unbriefed)
    assert (found.tasks, found.before, found.after, found.difference) == (2, 0.5, 1.0, 0.5)
    assert utility_of_facts(briefed[2:], unbriefed) is None


ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4"}


class CountingReader:
    """Understands ordinal numbers: the place at the ordinal that a text's last thought names is four times likelier."""

    def logprobs(self, texts, candidates):
        found = []
        for text, options in zip(texts, candidates, strict=True):
            thought = text.splitlines()[-2]
            numbers = {number for word, number in ORDINALS.items() if word in thought}
            found.append({each: math.log(4.0 if each.split()[-1] in numbers else 1.0) for each in options})
        return found


def test_a_paraphrase_leaks_to_a_reader(correct):
    opening = "You see a cabinet 1, a cabinet 2, a cabinet 3 and a cabinet 4."
    telling = correct((opening, "look", decide("look", "It waits behind the fourth door.")))
    silent = correct((opening, "look", decide("look", "I search on.")))
    other = replace(silent.trajectory, task=Task(id="alfworld/2", split="train", instruction="put it.", kind="pick"))
    leaks = reason_leaks([telling, replace(silent, trajectory=other)], CountingReader())
    # Without a thought, all four places are equally likely; with the fourth, it has 4 of 7.
    assert [leak.nats for leak in leaks] == pytest.approx([math.log(4 / 7) - math.log(1 / 4), 0.0])
    assert [leak.control_nats for leak in leaks] == pytest.approx([0.0, math.log(16 / 7)])
    found = reader_leakage(leaks)
    assert (found.reasons, found.doubled_share, found.excess_nats) == (2, 0.5, pytest.approx(0.0))
    alone = reader_leakage(reason_leaks([telling], CountingReader()))
    assert alone.excess_nats == pytest.approx(math.log(16 / 7))


def test_what_was_shown_or_has_no_reason_does_not_leak(correct):
    shown = correct(("You see a cabinet 1, a cabinet 4 and a mug 2.", "look", decide("look", "The fourth.")))
    silent = correct(("You see a cabinet 1 and a cabinet 4.", "look", decide("look")))
    assert reason_leaks([shown, silent], CountingReader()) == []
    assert reader_leakage([]) is None


def test_predictions_are_rank_correlations_corrected_for_their_number():
    success = [0.1, 0.2, 0.4, 0.5, 0.7, 0.9]
    measures = {
        "epsilon": [0.9, 0.8, 0.6, 0.5, 0.3, 0.1],
        "length": [3.0, 1.0, 4.0, 1.0, 5.0, 9.0],
        "constant": [1.0] * 6,
        "rare": [1.0, None, None, None, 2.0, 3.0],
    }
    rows = predictions(measures, success)
    assert [row.measure for row in rows] == ["epsilon", "length"]
    assert rows[0].rho == pytest.approx(-1.0)
    # Of the 720 orders only the two monotonic ones are as extreme; two measures are tested.
    assert rows[0].p == pytest.approx(2 / 720)
    assert rows[0].p_holm == pytest.approx(4 / 720)
    assert rows[1].rho == pytest.approx(spearmanr(measures["length"], success).statistic)
    assert rows[1].low < rows[1].rho < rows[1].high
    assert "lower epsilon in the first round end with more success" in sentence(rows)
    assert "reliably" in sentence(rows[1:])
    assert "nothing can be predicted" in sentence([])
