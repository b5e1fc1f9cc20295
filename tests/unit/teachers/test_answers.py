"""How answers are read: spellings of actions, rankings, and the action values that follow from them."""

import json

import pytest

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Observation
from leap_exp.teachers.answers import admissible_form, rank_values, read_rankings
from leap_exp.teachers.prompts import MAX_RANKED

LISTED = ["a", "b", "c", "d", "e", "f", "g"]


def rankings(*best):
    return json.dumps({"rankings": [{"step": step, "best": numbers} for step, numbers in enumerate(best, start=1)]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rankings([3, 1], [2]), [["c", "a"], ["b"]]),
        (rankings(["3", 1], []), [["c", "a"], []]),
        (rankings([3, 3, 0, 8, -1, 2.5, None, 1], [2]), [["c", "a"], ["b"]]),
        (rankings(list(range(1, 8)), [1]), [LISTED[:MAX_RANKED], ["a"]]),
        ("Sure:\n```json\n" + rankings([1], [2]) + "\n```", [["a"], ["b"]]),
    ],
)
def test_numbers_become_actions_and_invalid_ones_are_ignored(text, expected):
    assert read_rankings(text, [LISTED, LISTED]) == expected


def test_the_ranking_of_one_step_needs_no_list_of_steps():
    assert read_rankings('{"best": [2, 1]}', [LISTED]) == [["b", "a"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("I like the third.", "no JSON list 'rankings'"),
        (rankings([1]), "1 entries for 2 steps"),
        (rankings([9], [0]), "None of its numbers"),
        (rankings("1", [1]), "has to be a list of numbers"),
        ('{"rankings": [{"step": 2, "best": [1]}, {"step": 1, "best": [1]}]}', "entry 1 is for step 2"),
    ],
)
def test_an_unreadable_ranking_is_explained(text, complaint):
    with pytest.raises(ParseError, match=complaint):
        read_rankings(text, [LISTED, LISTED])


def test_values_fall_with_the_rank_from_the_decision_itself():
    assert rank_values("c", ["a", "c", "b"], ["a", "b", "c", "d", "e"]) == {"c": 0, "a": -1, "b": -2, "d": -3, "e": -3}


SHOP = Observation(text="", admissible_actions=("search[<query>]", "click[Buy Now]", "click[x]", "click[X]"))


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("click[Buy Now]", "click[Buy Now]"),
        ("Click[ buy  now]", None),
        ("CLICK[buy   now]", "click[Buy Now]"),
        ("click[x]", "click[x]"),
        ("Click[x]", None),
        ("search[red Lamp]", "search[red Lamp]"),
        ("search[<query>]", None),
        ("search[]", None),
        ("search[a\nb]", None),
        ("buy", None),
    ],
)
def test_case_and_spacing_are_ignored_unless_that_is_ambiguous(written, taken):
    assert admissible_form(SHOP, written) == taken


def test_if_no_actions_are_listed_any_single_line_is_admissible():
    free = Observation(text="$", admissible_actions=None)
    assert admissible_form(free, "grep -c 'A  B' file") == "grep -c 'A  B' file"
    assert admissible_form(free, "ls\nrm") is None
