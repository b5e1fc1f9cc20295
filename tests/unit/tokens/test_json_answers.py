"""JSON out of whatever a model wrote around it, and nothing out of what is not there."""

import json
import time

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


ALMOST_JSON = {
    "escapes of a shell command": (r'''"find . -name \*.txt -exec rm {} \;"''', r"find . -name \*.txt -exec rm {} \;"),
    "escapes of a regular expression": (r'''"grep -E \d+\.\w f"''', r"grep -E \d+\.\w f"),
    "escapes that JSON has by chance": (r'''"grep \bfoo\b\f"''', r"grep \bfoo\b\f"),
    "half of a Unicode escape": (r'''"cd \users\u12"''', r"cd \users\u12"),
    "right and wrong escapes": (r'''"a\\.b\.c \"d\" \/"''', r'a\.b\.c "d" /'),
    "an escaped apostrophe": (r'''"grep \'foo\' x"''', "grep 'foo' x"),
    "an apostrophe as shells have it": (r'''"echo 'it'\''s'"''', r"echo 'it'\''s'"),
    "a continued line": ('"ls \\\n-l"', "ls \\\n-l"),
    "unescaped quotes": ('"grep "foo" bar"', 'grep "foo" bar'),
    "unescaped quotes at the end": ('"find . -name "*.txt""', 'find . -name "*.txt"'),
    "unescaped quotes and brackets": ('"awk "{print "$1"}" f"', 'awk "{print "$1"}" f'),
    "JSON in a command": ('"echo \'{"a": "b", "c": "d"}\'"', 'echo \'{"a": "b", "c": "d"}\''),
    "a bracket after a quote": ('"echo "a"}"', 'echo "a"}'),
    "a comma after a quote": ('"echo "a", b "c""', 'echo "a", b "c"'),
    "Python's quotes": ("'go to desk 1'", "go to desk 1"),
    "Python's quotes around quotes": (r"""'grep "a" \'b\''""", """grep "a" 'b'"""),
    "Python's quotes around an apostrophe": ("'echo it's \"x\"'", 'echo it\'s "x"'),
    "half of a character": (r'"say \ud83d"', "say \ufffd"),
}


@pytest.mark.parametrize(("written", "meant"), ALMOST_JSON.values(), ids=ALMOST_JSON.keys())
def test_almost_json_is_read_as_it_was_meant(written, meant):
    for text in (
        f'{{"reason": "r", "action": {written}}}',
        f'{{"action": {written}, "reason": "r"}}',
        f'{{\n  "reason": "r",\n  "action": {written},\n}}',
        f'```json\n{{"reason": "r", "action": {written}}}\n```',
    ):
        assert read_object(text, "action") == {"reason": "r", "action": meant}
    steps = f'{{"summary": "s", "steps": [{{"step": 1, "reason": "r", "action": {written}}}]}}'
    assert read_list(steps, "steps", "reason", "action") == [{"step": 1, "reason": "r", "action": meant}]


def test_python_literals_are_read():
    assert read_object("{'a': None, 'b': True, 'c': False, 'd': -1.5, 'e': [1, 'x']}", "a") == {
        "a": None,
        "b": True,
        "c": False,
        "d": -1.5,
        "e": [1, "x"],
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "r", "action": "echo "a", "b": "c"}',
        '{"action": "echo "}"}',
        '{"reason": "r", "action": "sed \'s/"//g\' f"}',
        '{"reason": "r", "action": "echo a',
        '{"reason": "r" "action": "ls"}',
        "{'action': 'echo 'a}",
        '{"reason": "r", "action": "ls "a", "action": "x"}',
    ],
)
def test_what_could_mean_another_command_is_refused(text):
    with pytest.raises(ParseError, match="no JSON object with action"):
        read_object(text, "action")


def test_an_odd_quote_before_json_does_not_change_it():
    assert read_object('The 5" pan. {"reason": "r", "action": "echo a,] b"}', "action")["action"] == "echo a,] b"


@pytest.mark.parametrize("unit", ['{"a":"b ', "['", '{"action": "', "[", '{"a": {"b": "c"', "{'a': 'b\"", "\\", '"]'])
def test_a_model_that_repeats_itself_is_read_in_time(unit):
    start = time.process_time()
    with pytest.raises(ParseError):
        read_object(unit * (8_000 // len(unit)), "none")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("value", [None, 3, "", "  ", ["look"], {"a": 1}])
def test_a_text_is_a_text(value):
    with pytest.raises(ParseError, match="'action' has to be a text"):
        text_field({"action": value}, "action")
    assert text_field({"action": " look\n"}, "action") == "look"
