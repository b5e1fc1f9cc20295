"""A model's rankings: what is read from its answers, and what actions are worth by them."""

import json

import pytest

from leap_exp.core.errors import ParseError
from leap_exp.prompts.teaching import MOST_RANKED
from leap_exp.teachers.ranking import place_values, read_rankings

LISTED = ["a", "b", "c", "d", "e", "f", "g"]


def rankings(*best):
    return json.dumps({"rankings": [{"step": step, "best": numbers} for step, numbers in enumerate(best, start=1)]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rankings([3, 1], [2]), [["c", "a"], ["b"]]),
        (rankings(["3", 1], []), [["c", "a"], []]),
        (rankings([3, 3, 0, 8, -1, 2.5, None, 1], [2]), [["c", "a"], ["b"]]),
        (rankings(list(range(1, 8)), [1]), [LISTED[:MOST_RANKED], ["a"]]),
        ("Sure:\n```json\n" + rankings([1], [2]) + "\n```", [["a"], ["b"]]),
    ],
)
def test_numbers_become_actions_and_those_of_none_are_left_out(text, expected):
    assert read_rankings(text, [LISTED, LISTED]) == expected


def test_a_step_alone_is_answered_by_its_ranking_alone():
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
def test_what_cannot_be_read_is_said(text, complaint):
    with pytest.raises(ParseError, match=complaint):
        read_rankings(text, [LISTED, LISTED])


def test_values_go_down_by_places_from_the_decision_itself():
    assert place_values("c", ["a", "c", "b"], ["a", "b", "c", "d", "e"]) == {"c": 0, "a": -1, "b": -2, "d": -3, "e": -3}
