"""What wrong steps cost, from a made-up cost-to-go."""

import math

import pytest

from leap_exp.analysis.recoverability import action_costs, action_values, own_cost, recoverability, success_costs
from leap_exp.core.types import Decision

START = {"left": -2.0, "right": -5.0, "smash": -math.inf}
NEXT = {"left": -1.0, "right": -3.0}


@pytest.fixture
def corrections(correct):
    def decide(action):
        return Decision(reason="", action=action)

    return [
        correct(("a", "right", decide("left")), ("b", "jump", decide("right"))),
        correct(("c", "left", decide("left"))),
    ]


def test_an_action_costs_what_it_adds_to_the_plan(corrections):
    assert action_costs(START) == {"left": 0.0, "right": 3.0, "smash": math.inf}
    assert action_costs({"smash": -math.inf}) == action_costs({}) == {}
    first, second = corrections[0].trajectory.steps
    assert own_cost(START, first) == 3.0
    assert own_cost(NEXT, second) == 1.0  # an action that is not carried out
    assert own_cost({}, first) is None


def test_costs_are_summed_up_over_all_depths_and_by_depth(corrections):
    everything, first, second = recoverability(corrections, [[START, NEXT], [{}]])
    assert (everything.depth, everything.steps, first.steps, second.steps) == (None, 2, 1, 1)
    assert first.mean_steps == pytest.approx((0 + 3) / 2)
    assert (first.max_steps, second.max_steps, everything.max_steps) == (3.0, 2.0, 3.0)
    assert first.irrecoverable_share == pytest.approx(1 / 3)
    assert everything.mean_steps == pytest.approx((0 + 3 + 0 + 2) / 4)
    assert everything.own_mean_steps == pytest.approx((3 + 1) / 2)
    # The first correction saves three steps; the second replaces an action that wastes one by one that wastes two.
    assert (first.shortened_share, second.shortened_share, second.lengthened_share) == (1.0, 0.0, 1.0)
    assert everything.changed == 2
    assert recoverability(corrections, [[{}, {}], [{}]]) == []


def test_in_successes_an_action_costs_the_last_chance():
    # Three steps are needed at the start, two after a step to the left.
    assert success_costs([START, NEXT], horizon=6) == [
        {"left": 0.0, "right": 0.0, "smash": 1.0},
        {"left": 0.0, "right": 0.0},
    ]
    assert success_costs([START, NEXT], horizon=4) == [
        {"left": 0.0, "right": 1.0, "smash": 1.0},
        {"left": 0.0, "right": 1.0},
    ]
    # With two steps nothing can be won, so nothing can be lost.
    assert success_costs([START], horizon=2) == [{"left": 0.0, "right": 0.0, "smash": 0.0}]


def test_a_task_that_the_oracle_cannot_do_has_no_costs(corrections):
    class Broken:
        def oracle(self, task):
            raise RuntimeError("no plan")

    assert action_values(Broken(), corrections[0].trajectory) == [{}, {}]
