"""What an observation admits, queries of the agent's own included."""

import pytest

from leap_exp.core.types import QUERY_SLOT, Observation


@pytest.mark.parametrize(
    ("action", "admitted"),
    [
        ("search[red mug]", True),
        ("search[]", False),
        ("search[red\nmug]", False),
        ("search[red mug", False),
        ("click[red mug]", False),
        ("click[buy now]", True),
    ],
)
def test_an_action_with_a_query_stands_for_all_that_have_one(action, admitted):
    observation = Observation(text="A shop.", admissible_actions=("search[<query>]", "click[buy now]"))
    assert observation.admits(action) is admitted
    assert observation.query_action == "search[<query>]"


def test_without_a_list_everything_is_admitted_and_an_action_is_any_text():
    observation = Observation(text="A shop.", admissible_actions=None)
    assert observation.admits("anything")
    assert observation.query_action == QUERY_SLOT
