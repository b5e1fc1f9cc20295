"""The bound: a world computed by hand, and a corridor of boxes in which every term is exact."""

import itertools

import numpy as np
import pytest
from tests.support.corridor import Corridor, at_random, corridor, possible, straight_to_the_coin

from leap_boxes.corridor import best_value
from leap_exp.analysis.bound import estimated_bound, tabular_bound
from leap_exp.analysis.tabular import TabularWorld, best_visible_return, expected_return, visits


@pytest.fixture
def coin_toss():
    """Guess which of two sides is up, once; the side is hidden, and a right guess is worth 1. State 2 is the end."""
    transitions = np.zeros((3, 2, 3))
    transitions[:2, :, 2] = 1.0
    transitions[2, :, 2] = 1.0
    return TabularWorld(
        start_S=np.array([0.5, 0.5, 0.0]),
        transitions_SAS=transitions,
        rewards_SA=np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
        visible_S=np.array([0, 0, 1]),
        admissible_SA=np.ones((3, 2), dtype=bool),
        done_S=np.array([False, False, True]),
        horizon=1,
    )


def test_the_terms_of_a_hidden_coin_are_those_computed_by_hand(coin_toss):
    teacher = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    student = np.array([[0.7, 0.3], [1.0, 0.0]])
    (row,) = tabular_bound(coin_toss, teacher, [student])
    assert (row.best_return, row.teacher_return, row.best_visible_return) == pytest.approx((0.5, 1.0, 0.5))
    # A wrong guess costs 1. Half of the time the student is 2·0.3 from the teacher, half of the time 2·0.7.
    assert (row.recoverability, row.losses[0], row.epsilon, row.gamma) == pytest.approx((1.0, 1.0, 1.0, 0.0))
    assert (row.right, row.slack, row.holds) == (pytest.approx(0.0), pytest.approx(0.5), True)
    assert row.lemma_error == pytest.approx(0.0, abs=1e-12)


def test_a_teacher_who_knows_no_more_has_no_gap_and_the_rest_is_regret(coin_toss):
    teacher = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    (row,) = tabular_bound(coin_toss, teacher, [np.array([[0.25, 0.75], [1.0, 0.0]])])
    assert (row.epsilon, row.gamma, row.losses[0]) == pytest.approx((0.0, 1.5, 1.5))


def test_a_teacher_that_tosses_coins_needs_the_linear_program(coin_toss):
    teacher = np.array([[0.9, 0.1], [0.4, 0.6], [1.0, 0.0]])
    (row,) = tabular_bound(coin_toss, teacher, [np.array([[0.5, 0.5], [1.0, 0.0]])])
    # |p - 0.9| + |p - 0.4| is least between the two: 0.5, times 2 for the L1 distance, times 1/2 for each side.
    assert row.epsilon == pytest.approx(0.5)


@pytest.mark.parametrize(("boxes", "horizon"), [(2, 3), (3, 4), (3, 6), (4, 5)])
@pytest.mark.parametrize("by_step", [False, True])
def test_the_inequality_and_its_lemma_are_exact_in_the_corridor(boxes, horizon, by_step):
    table = corridor(boxes, horizon)
    students = [table.student(at_random(boxes, seed=seed)) for seed in range(4)]
    if by_step:
        students = [np.stack([student] * horizon) for student in students]
    rows = tabular_bound(table.world, table.teacher(straight_to_the_coin), students)
    assert [row.rounds for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row.lemma_error < 1e-9
        assert row.holds
        assert row.right == pytest.approx(row.teacher_return / horizon - row.recoverability * row.epsilon - row.gamma)
        assert 0.0 < row.epsilon <= np.mean(row.losses) + 1e-12
        # The teacher knows more than the best policy of the history, so the inequality with that one holds too.
        assert row.best_visible_return <= row.teacher_return + 1e-9


def test_the_figures_of_docs_measures():
    table = corridor(4, 12)
    student = table.student(lambda seen: {action: 1 / len(possible(seen, 4)) for action in possible(seen, 4)})
    (row,) = tabular_bound(table.world, table.teacher(straight_to_the_coin), [student])
    assert (row.teacher_return, row.recoverability) == pytest.approx((1.0, 1.0))
    assert (row.epsilon, row.gamma, row.right) == pytest.approx((0.463, 0.219, -0.598), abs=5e-4)
    assert row.best_return / 12 == pytest.approx(0.052, abs=5e-4)
    assert row.lemma_error < 1e-15


def test_values_in_a_corridor_of_two_boxes_are_those_computed_by_hand():
    table = corridor(2, 3)
    # It starts at the right box. Opening it finds the coin half of the time; else it takes two more steps.
    assert best_visible_return(table.world) == pytest.approx(1.0)
    assert best_visible_return(corridor(2, 2).world) == pytest.approx(0.5)
    assert expected_return(table.world, table.world.teacher(table.teacher(straight_to_the_coin))) == pytest.approx(1.0)
    opens_first = table.world.student(table.student(lambda seen: {possible(seen, 2)[-1]: 1.0}))
    assert expected_return(table.world, opens_first) == pytest.approx(1.0)
    assert visits(table.world, opens_first).sum(axis=1) == pytest.approx([1.0, 0.5, 0.5])


@pytest.mark.parametrize("horizon", [2, 4, 7])
def test_the_best_return_is_the_exact_value_of_the_example(horizon):
    game = Corridor(3)
    assert best_visible_return(corridor(3, horizon).world) == pytest.approx(best_value(game, game.start, horizon))


def every_policy(table, boxes):
    """Yield all deterministic policies of the visible state."""
    for actions in itertools.product(*(possible(seen, boxes) for seen in table.visible)):
        chosen = dict(zip(table.visible, actions, strict=True))
        yield table.world.student(table.student(lambda seen, chosen=chosen: {chosen[seen]: 1.0}))


def test_the_best_return_is_that_of_the_best_deterministic_policy():
    table = corridor(2, 3)
    best = max(expected_return(table.world, policy) for policy in every_policy(table, 2))
    assert best_visible_return(table.world) == pytest.approx(best)


def test_epsilon_is_the_least_loss_of_any_policy():
    table = corridor(2, 3)
    students = [table.student(at_random(2, seed=seed)) for seed in range(2)]
    row = tabular_bound(table.world, table.teacher(straight_to_the_coin), students)[-1]
    visited = sum(visits(table.world, table.world.student(student)) for student in students) / 2
    teacher = table.world.teacher(table.teacher(straight_to_the_coin))
    losses = [(visited * np.abs(teacher - policy).sum(-1)).sum() / 3 for policy in every_policy(table, 2)]
    assert row.epsilon == pytest.approx(min(losses))


def test_arrays_that_do_not_fit_are_refused(coin_toss):
    with pytest.raises(ValueError, match=r"visible_S has shape \(2,\), not \(3,\)"):
        TabularWorld(**{name: getattr(coin_toss, name) for name in coin_toss.__slots__} | {"visible_S": np.zeros(2)})


def test_estimates_give_the_same_inequality():
    row = estimated_bound([0.2, 0.5], [1.0, 0.6], teacher_return=1.0, recoverability=0.5, epsilon=0.4, horizon=10)
    assert (row.right, row.gamma) == pytest.approx((0.1 - 0.5 * 0.4 - 0.2, 0.5 * (0.8 - 0.4)))
    assert row.holds
