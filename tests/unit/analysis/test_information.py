"""Information: entropies over made-up worlds, computed by hand."""

import math

import pytest

from leap_exp.analysis.information import entropy, information, step_information
from leap_exp.core.environments import ConsistentWorlds
from leap_exp.core.types import Decision


class Says:
    def __init__(self, action):
        self._action = action

    def decide(self, view, disclosure, *, seed, taken=None):
        return Decision(reason="", action=self._action or taken)


class Worlds:
    """Four worlds at the first step, of which a search leaves one."""

    def __init__(self, *, exact=True):
        self._exact = exact

    def consistent_worlds(self, view, *, limit, seed):
        actions = ["left", "left", "right", "up"] if not view.history else ["left"]
        shares = [0.25, 0.25, 0.25, 0.25] if not view.history else [1.0]
        return ConsistentWorlds(
            oracles=tuple(map(Says, actions)), probabilities=tuple(shares), is_exact=self._exact or bool(view.history)
        )


class Unknown:
    def consistent_worlds(self, view, *, limit, seed):
        return None


@pytest.fixture
def correction(correct):
    return correct(
        ("a", "right", Decision(reason="", action="left")), ("b", "left", Decision(reason="", action="left"))
    )


def test_information_is_the_entropy_of_what_the_teacher_does_over_the_worlds(correction):
    first, second = step_information(Worlds(), correction, limit=10, seed=0)
    assert first.nats == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    # The best that a policy of the history can do is to go left, which is wrong half of the time.
    assert first.floor == pytest.approx(2 * (1 - 0.5))
    assert (first.teacher_probability, first.worlds, first.is_exact, first.is_changed) == (0.5, 4, True, True)
    assert (second.nats, second.floor, second.is_changed) == (0.0, 0.0, False)
    everything, at_start, later = information([first, second])
    assert everything.nats == pytest.approx(first.nats / 2)
    assert everything.changed_nats == first.nats
    assert (at_start.depth, later.depth, later.changed_nats) == (0, 1, None)


def test_draws_have_the_correction_of_miller_and_madow(correction):
    first, _ = step_information(Worlds(exact=False), correction, limit=4, seed=0)
    assert first.nats == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4) + 2 / (2 * 4))
    assert entropy([0.5, 0.5], draws=100) == pytest.approx(math.log(2) + 1 / 200)
    assert entropy([1.0]) == 0.0


def test_without_known_worlds_nothing_is_measured(correction):
    assert step_information(Unknown(), correction, limit=4, seed=0) == []
    assert information([]) == []
