"""Distances between distributions over actions, computed by hand, and their means by depth."""

import math

import pytest

from leap_exp.analysis.briefing import BriefedStep, briefing_effects
from leap_exp.analysis.distributions import agree, changes, kl_divergence, rank, top_k_overlap, total_variation
from leap_exp.core.types import Decision


def logs(**shares):
    return {action: math.log(share) for action, share in shares.items()}


P, Q = logs(a=0.5, b=0.25, c=0.25), logs(a=0.25, b=0.25, c=0.5)


def test_distances_are_those_computed_by_hand():
    assert total_variation(P, Q) == pytest.approx(0.25)
    assert kl_divergence(P, Q) == pytest.approx(0.5 * math.log(2) + 0.25 * math.log(0.5))
    assert kl_divergence(P, P) == 0.0
    assert rank(P, "a") == 1
    assert rank(P, "b") == rank(P, "c") == 2
    assert rank(P, "not listed") == 4
    assert top_k_overlap(P, Q, k=1) == 0.0
    assert top_k_overlap(P, Q, k=2) == 0.5
    assert not agree(P, Q)
    assert agree(P, logs(a=0.4, b=0.3, c=0.3))


def test_log_probabilities_need_not_be_normalised():
    shifted = {action: value - 7.0 for action, value in P.items()}
    assert total_variation(shifted, Q) == pytest.approx(0.25)
    assert kl_divergence(shifted, Q) == pytest.approx(kl_divergence(P, Q))


def test_a_divergence_is_infinite_only_where_an_action_is_ruled_out():
    assert kl_divergence(logs(a=0.5, b=0.5), {"a": 0.0}) == math.inf
    assert kl_divergence({"a": 0.0, "b": -800.0}, {"a": -900.0, "b": 0.0}) == pytest.approx(900.0)


def test_changes_are_averaged_over_all_steps_and_by_depth(correct):
    def decide(action):
        return Decision(reason="", action=action)

    corrections = [correct(("x", "b", decide("a")), ("y", "a", decide("c"))), correct(("z", "a", decide("a")))]
    before, after = [[P, P], [P]], [[P, Q], [{}]]
    everything, first, second = changes(corrections, before, after)
    assert (everything.depth, everything.steps, first.depth, second.depth) == (None, 2, 0, 1)
    assert (second.rank_before, second.rank_after) == (2, 1)
    assert (second.logprob_before_nats, second.logprob_after_nats) == pytest.approx((math.log(0.25), math.log(0.5)))
    assert (first.total_variation, second.total_variation) == pytest.approx((0.0, 0.25))
    assert everything.total_variation == pytest.approx(0.125)
    assert (everything.agreement_before, everything.agreement_after) == (0.5, 1.0)
    assert changes(corrections, [[{}, {}], [{}]], after) == []


def test_the_effect_of_a_briefing_per_turn_and_per_token():
    steps = [
        BriefedStep(depth=0, briefed=P, unbriefed=Q, lengths={"a": 2, "b": 4, "c": 4}),
        BriefedStep(depth=2, briefed=Q, unbriefed=Q, lengths={"a": 2, "b": 4, "c": 4}),
    ]
    everything, first, last = briefing_effects(steps)
    divergence = 0.25 * math.log(2)
    assert everything.kl_nats_per_turn == pytest.approx(divergence / 2)
    assert first.kl_nats_per_turn == pytest.approx(divergence)
    # Actions have 3 tokens on average in the first step, and 3.5 in the last.
    assert first.kl_nats_per_token == pytest.approx(divergence / 3)
    assert everything.kl_nats_per_token == pytest.approx(divergence / 6.5)
    assert (last.agreement, last.total_variation, everything.agreement) == (1.0, 0.0, 0.5)
    assert briefing_effects([]) == []
