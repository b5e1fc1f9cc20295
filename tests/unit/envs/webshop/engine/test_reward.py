from dataclasses import replace

import pytest

from leap_exp.envs.webshop.engine.goals import GoalList
from leap_exp.envs.webshop.engine.products import GoalKind
from leap_exp.envs.webshop.engine.reward import matched_attributes, matched_options, purchase_reward
from tests.support.webshop_files import small_catalogue


@pytest.fixture
def catalogue(tmp_path):
    return small_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("selected", "wanted", "matches"),
    [
        (["navy blue"], ["navy blue"], 1),
        (["dark navy"], ["navy"], 0),  # "dark" is also a colour and is found first
        (["ocean blue"], ["sky blue"], 1),
        (["28 inch x 30"], ["30 inch x 28"], 1),
        (["medium"], ["large"], 0),
        ([], ["red"], 0),
        (["black"], {"color": "black"}, 1),
        (["bluestone"], {"color": "bluestone"}, 0),  # the selected value counts as blue, the pair does not
        (["3x-large"], {"size": "3x-large", "color": "red"}, 1),
        (["wide size"], {"size": "wide"}, 1),
        (["xl"], [], 0),
    ],
)
def test_options_match_like_in_the_original(selected, wanted, matches):
    assert matched_options(selected, wanted) == matches


def test_attributes_match_in_the_list_or_in_any_text(catalogue):
    mug = catalogue.product(0)
    assert matched_attributes(mug, ["dishwasher safe", "safe dishwasher", "gluten free"]) == 2
    assert matched_attributes(mug, ["stoneware", "about the blue", "made to last  easy"]) == 3


def test_parts_of_the_reward(catalogue):
    goals = GoalList(catalogue)
    index = next(i for i in range(len(goals)) if goals.goal(i).options == {"color": "red | white"})
    goal, mug, glass, shoes = goals.goal(index), *(catalogue.product(row) for row in range(3))
    full = purchase_reward(mug, goal, mug, price=goal.price_limit, selected={"color": "red | white"})
    assert (full.total, full.type, full.attribute, full.option, full.price) == (1.0, 1.0, 1.0, 1.0, True)
    bare = purchase_reward(mug, goal, mug, price=goal.price_limit + 1, selected={})
    assert (bare.total, bare.option, bare.price) == (pytest.approx(1 / 3), 0.0, False)
    assert purchase_reward(shoes, goal, mug, price=1, selected={}).type == 0.0
    other = purchase_reward(glass, goal, mug, price=1, selected={})
    assert (other.query_match, other.category_match, other.title_score) == (True, True, 0.25)


def test_the_type_score_falls_with_the_share_of_common_nouns(catalogue):
    goal = GoalList(catalogue).goal(0)
    target = replace(catalogue.product(0), nouns=tuple("abcdefghijklmnopqrst"), query="q", product_category="x")
    bought = replace(target, query="other", product_category="y")

    def type_score(nouns):
        return purchase_reward(replace(bought, nouns=nouns), goal, target, price=1, selected={}).type

    assert [type_score(tuple(nouns)) for nouns in ("abcde", "abcd", "ab", "a", "z")] == [1.0, 0.5, 0.5, 0.1, 0.0]
    nameless = replace(target, nouns=())
    assert purchase_reward(bought, goal, nameless, price=1, selected={}).type == 0.5


def test_a_goal_without_options_has_no_option_part(catalogue):
    goal = replace(GoalList(catalogue, kind=GoalKind.HUMAN).goal(0), options=())
    reward = purchase_reward(catalogue.product(0), goal, catalogue.product(0), price=1, selected={})
    assert reward.total == 1.0
    assert "r_option" not in reward.as_original()
    assert set(reward.as_original()) >= {"r_type", "r_att", "r_price", "w_att", "w_price"}
