"""The parser takes what models write for REASON and ACTION, and refuses what holds no action."""

import pytest

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Decision
from leap_exp.tokens.parser import parse_decision

EXPECTED = Decision(reason="Mugs are often on desks.", action="go to desk 1")


@pytest.mark.parametrize(
    "text",
    [
        "REASON: Mugs are often on desks.\nACTION: go to desk 1",
        " REASON: Mugs are often on desks.\n ACTION: go to desk 1\n",
        "Reason: Mugs are often on desks.\nAction: go to desk 1",
        "Thought: Mugs are often on desks.\n\nAction: go to desk 1",
        "reasoning: Mugs are often on desks.\naction: go to desk 1",
        "**REASON**: Mugs are often on desks.\n**ACTION**: `go to desk 1`",
        "- REASON: Mugs are often on desks.\n- ACTION: go to desk 1",
        "REASON: Mugs are often on desks.\nACTION: 'go to desk 1'",
        'REASON: Mugs are often on desks.\nACTION: "go to desk 1"',
        "Mugs are often on desks.\nACTION: go to desk 1",
        "REASON: Mugs are often on desks.\nACTION: go to desk 1\nOBSERVATION: You see a mug.\nACTION: take mug 1",
        "Let me see.\nREASON: Mugs are often on desks.\nACTION: go to desk 1",
    ],
)
def test_reason_and_action_are_found_in_whatever_dress(text):
    assert parse_decision(text, reasons=True) == EXPECTED


def test_a_reason_may_have_several_lines():
    decision = parse_decision("REASON: Mugs are\noften on desks.\nACTION: look", reasons=True)
    assert decision == Decision(reason="Mugs are\noften on desks.", action="look")


def test_an_action_without_a_reason_is_enough():
    assert parse_decision("ACTION: look", reasons=True) == Decision(reason="", action="look")


def test_an_action_named_inside_the_reason_is_not_the_action():
    decision = parse_decision("REASON: The action: look was of no use.\nACTION: go to desk 1", reasons=True)
    assert decision.action == "go to desk 1"


@pytest.mark.parametrize(
    "text", ["", "\n", "go to desk 1", "REASON: because", "ACTION:", "REASON: because\nACTION: **"]
)
def test_without_an_action_field_there_is_no_decision_to_take(text):
    with pytest.raises(ParseError, match="No action"):
        parse_decision(text, reasons=True)


@pytest.mark.parametrize(
    "text",
    [
        " go to desk 1",
        "go to desk 1\nYou arrive at desk 1.",
        "\n\ngo to desk 1",
        "`go to desk 1`",
        "ACTION: go to desk 1",
    ],
)
def test_a_student_without_reasons_writes_the_action_on_its_first_line(text):
    assert parse_decision(text, reasons=False) == Decision(reason="", action="go to desk 1")


def test_a_student_without_reasons_that_gives_one_all_the_same_is_understood():
    decision = parse_decision("REASON: Mugs are often on desks.\nACTION: go to desk 1", reasons=False)
    assert decision == Decision(reason="", action="go to desk 1")


@pytest.mark.parametrize("text", ["", " \n ", "**"])
def test_a_student_without_reasons_that_writes_nothing_took_no_decision(text):
    with pytest.raises(ParseError, match="No action"):
        parse_decision(text, reasons=False)
