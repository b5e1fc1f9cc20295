import itertools
import random

import numpy as np
import pytest

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.webshop.engine.goals import (
    DEFAULT_PRICE_SEED,
    NO_LIMIT,
    GoalList,
    combination,
    draw_limits,
    draw_prices,
    split_range,
)
from leap_exp.envs.webshop.engine.products import GoalKind
from tests.support.webshop_files import ATTRIBUTES, record, small_catalogue


@pytest.fixture
def catalogue(tmp_path):
    return small_catalogue(tmp_path)


def test_prices_and_limits_are_drawn_like_in_the_original():
    rng, reference = random.Random(7), random.Random(7)
    bounds = np.array([[5.0, 9.0], [3.0, np.nan], [1.0, 1000.0], [985.0, np.nan]])
    prices = draw_prices(rng, bounds)
    expected = [reference.uniform(5, 9), 3.0, reference.uniform(1, 1000), 985.0]
    assert prices.tolist() == expected
    above = [[limit for limit in np.arange(10.0, 1000.0, 10.0).tolist() if limit > price][:4] for price in expected]
    limits = [sorted(reference.sample(each, 2))[1] if len(each) > 1 else NO_LIMIT for each in above]
    assert draw_limits(rng, prices, range(4)).tolist() == limits
    assert rng.random() == reference.random()


def test_goals_cover_every_combination_and_their_order_does_not_depend_on_prices(catalogue):
    goals, others = GoalList(catalogue), GoalList(catalogue, price_seed=1)
    assert len(goals) == 2 + 4 + 1
    drawn = [goals.goal(index) for index in range(len(goals))]
    assert [goal.asin for goal in drawn] == [others.goal(index).asin for index in range(len(goals))]
    assert {tuple(goal.options.items()) for goal in drawn if goal.asin[-1] == "3"} == set(
        itertools.product([("color", "black"), ("color", "buy now")], [("size", "7"), ("size", "8")])
    )
    shoe = next(goal for goal in drawn if goal.options == {"color": "black", "size": "8"})
    assert shoe.instruction.startswith(
        "Find me rubber sole shoes with color: black, and size: 8, and price lower than 1"
    )
    assert shoe.price_limit > goals.price(shoe.row) == 100.0


def test_a_human_goal_has_the_words_of_its_instruction(catalogue):
    goals = GoalList(catalogue, kind=GoalKind.HUMAN)
    assert len(goals) == 1
    goal = goals.goal(0)
    assert goal.instruction == f"i want a blue mug, and price lower than {goal.price_limit:.2f} dollars"
    assert goal.options == ("navy blue",)


def test_stored_limits_belong_to_the_default_seed(catalogue):
    for kind in GoalKind:
        rng = random.Random(DEFAULT_PRICE_SEED)
        drawn = draw_limits(rng, draw_prices(rng, catalogue.price_bounds), catalogue.instruction_rows(kind))
        assert catalogue.default_limits(kind).tolist() == drawn.tolist()


def test_an_expensive_product_has_no_limit(tmp_path):
    catalogue = small_catalogue(
        tmp_path, records=[record("B000000004", "Gold Mug", pricing="$985")], attributes=ATTRIBUTES
    )
    goal = GoalList(catalogue).goal(0)
    assert (goal.price_limit, goal.instruction) == (NO_LIMIT, "Find me easy clean mugs")


def test_a_kind_without_goals_and_an_unknown_goal_are_errors(tmp_path, catalogue):
    with pytest.raises(DataError, match="goal 7"):
        GoalList(catalogue).goal(7)
    with pytest.raises(DataError, match="no human goals"):
        GoalList(small_catalogue(tmp_path / "other", instructions={}), kind=GoalKind.HUMAN)


def test_splits():
    assert split_range(6910, "test") == range(500)
    assert split_range(6910, "validation") == range(500, 1500)
    assert split_range(6910, "train") == range(1500, 6910)
    # All instructions by people: as many as the paper gives for training.
    assert split_range(12_087, "test") == range(500)
    assert len(split_range(12_087, "train")) == 10_587
    assert [split_range(13, name) for name in ("test", "validation", "train")] == [range(2), range(2, 4), range(4, 13)]
    assert [split_range(3, name) for name in ("test", "validation", "train")] == [range(1), range(1, 2), range(2, 3)]
    with pytest.raises(ConfigError, match="train, validation, test"):
        split_range(13, "valid")


def test_combinations_are_ordered_like_the_product_of_sorted_names():
    options = {"size": ("s", "m"), "color": ("red",), "fit": ("a", "b", "c")}
    names = sorted(options)
    expected = [
        dict(zip(names, values, strict=True)) for values in itertools.product(*(options[name] for name in names))
    ]
    found = [combination(options, number) for number in range(6)]
    assert found == expected
    assert list(found[0]) == names
    assert combination({}, 0) == {}
