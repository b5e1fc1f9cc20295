"""Which reasons reveal hidden facts."""

import pytest

from leap_exp.analysis.leakage import leaking_share, leaks
from leap_exp.core.types import Decision, Observation, Step, View

OPENING = "You see a cabinet 4, a cabinet 3 and a shelf 1. Your task is to: put a mug in shelf."


@pytest.fixture
def view(task):
    """Build a view from the texts shown so far, the last one being the current observation."""

    def build(*texts, admissible=None):
        seen = [Observation(text=text, admissible_actions=None) for text in texts]
        look = Decision(reason="", action="look")
        history = tuple(Step(observation=observation, decision=look, reward=0.0) for observation in seen[:-1])
        return View(task=task, history=history, observation=Observation(text=texts[-1], admissible_actions=admissible))

    return build


@pytest.mark.parametrize(
    "reason",
    [
        "Mug 2 is what I need.",
        "The mug is in cabinet 4.",
        "Go straight to cabinet 4 for the mug.",
        "Next comes cabinet 4, where a mug is waiting.",
        "I look there because cabinet 4 holds a mug.",
    ],
)
def test_hidden_names_and_stated_places_leak(view, facts, reason):
    assert leaks(view(OPENING), reason, facts)


@pytest.mark.parametrize(
    "reason",
    [
        "Mugs are often kept in cabinets, so cabinet 4 is a good place to search.",
        "The mug may be in cabinet 4.",
        "I still need a mug. Cabinet 4 has not been opened yet.",
        "The mug is not on shelf 1, so check cabinet 4.",
        "Put the mug in shelf 1 once it is found.",
        "I need empty hands to pick up a mug, so I go to cabinet 4.",
        "Mug 7 has to be put away, so I open cabinet 4 for mug 7.",
        "",
    ],
)
def test_guesses_and_shown_places_do_not_leak(view, facts, reason):
    assert leaks(view(OPENING, "You see a mug 7."), reason, facts) == ()


def test_a_name_leaks_only_until_it_has_been_shown(view, facts):
    reason = "Take mug 2, the mug in cabinet 4."
    assert leaks(view(OPENING), reason, facts) == ("mug 2", "mug in cabinet 4")
    assert leaks(view(OPENING, "On the cabinet 4, you see a mug 2."), reason, facts) == ()


def test_names_match_whole_words(view, facts):
    assert leaks(view(OPENING, "You see a mug 21."), "Take mug 2.", facts) == ("mug 2",)


def test_admissible_actions_count_as_shown(view, facts):
    opened = view(OPENING, admissible=("take mug 2 from cabinet 4",))
    assert leaks(opened, "Take mug 2.", facts) == ()


def test_without_facts_nothing_is_known_to_be_hidden(view):
    assert leaks(view(OPENING), "Take mug 2.", None) == ()


def test_leaking_share_counts_reasons_only(correct):
    texts = [OPENING, "Nothing.", "Nothing.", "Nothing."]
    reasons = ["The mug is in cabinet 4.", "I search on.", "", "Shelf 1 comes next."]
    rows = [(text, "look", Decision(reason=reason, action="look")) for text, reason in zip(texts, reasons, strict=True)]
    assert leaking_share([correct(*rows)]) == pytest.approx(1 / 3)
    assert leaking_share([]) == 0.0
