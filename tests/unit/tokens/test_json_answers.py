"""JSON out of whatever a model wrote around it, and nothing out of what is not there."""

import json

import pytest

from leap_exp.core.errors import ParseError
from leap_exp.tokens.json_answers import read_list, read_object, text_field

STEPS = [{"step": 1, "reason": "Mugs, or so.", "action": "look"}, {"step": 2, "reason": "r", "action": "go"}]
PLAIN = json.dumps({"summary": "Bad [really].", "steps": STEPS})

READABLE = {
    "plain": PLAIN,
    "pretty": json.dumps({"summary": "s", "steps": STEPS}, indent=2),
    "fenced": f"```json\n{PLAIN}\n```",
    "text around it": f"Here you are, with {{braces}} and search[lamp]:\n{PLAIN}\nI hope [this] helps.",
    "thoughts before it": f'<think>Perhaps {{"steps": [{{"reason": "x", "action": "y"}}]}}?</think>{PLAIN}',
    "trailing commas": PLAIN.replace("}]}", "},]\n,}").replace('"look"}', '"look",}').replace("\n,", ","),
    "line breaks in strings": PLAIN.replace("Bad ", "Bad\n"),
    "the list alone": json.dumps(STEPS),
    "objects one a line": "\n".join(json.dumps(step) for step in STEPS),
}


@pytest.mark.parametrize("text", READABLE.values(), ids=READABLE.keys())
def test_the_steps_are_found_whatever_is_around_them(text):
    assert read_list(text, "steps", "reason", "action") == STEPS


def test_a_single_object_is_a_list_of_one():
    assert read_list('So: {"reason": "r", "action": "look"}.', "steps", "reason", "action") == [
        {"reason": "r", "action": "look"}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot say.",
        '{"steps": []}',
        '{"steps": "none"}',
        '{"steps": [{"reason": "r"}]}',
        '{"steps": [1, 2]}',
        "[" * 5000,
        "null",
    ],
)
def test_what_is_not_there_is_not_made_up(text):
    with pytest.raises(ParseError, match=r"no JSON list 'steps' of objects with reason and action") as caught:
        read_list(text, "steps", "reason", "action")
    assert len(str(caught.value)) < 200


def test_commas_within_strings_stay():
    text = r'{"reason": "a,] b,} \" c,]",}'
    assert read_object(text, "reason") == {"reason": 'a,] b,} " c,]'}


def test_the_last_object_counts():
    assert read_object('{"reason": "first"} no: {"reason": "second"} {"other": 1}', "reason") == {"reason": "second"}
    with pytest.raises(ParseError, match="reason"):
        read_object('{"cause": "x"}', "reason")


@pytest.mark.parametrize("value", [None, 3, "", "  ", ["look"], {"a": 1}])
def test_a_text_is_a_text(value):
    with pytest.raises(ParseError, match="'action' has to be a text"):
        text_field({"action": value}, "action")
    assert text_field({"action": " look\n"}, "action") == "look"
