"""Condensed observations."""

import re

import pytest

from leap_exp.core.types import Observation
from leap_exp.envs.alfworld.prompts import condense
from leap_exp.envs.alfworld.teaching.expert import expert_action
from tests.support.alfworld_games import Play, builtin_games

NAME = re.compile(r"[a-z]+ \d+")


def condensed(text):
    return condense(Observation(text=text, admissible_actions=()))


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (
            "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly around you, "
            "you see a desk 1, an ottoman 1, and a shelf 2.\n\nYour task is to: put a pen in desk.",
            "Room: desk 1, ottoman 1, shelf 2.\nTask: put a pen in desk.",
        ),
        ("You arrive at desk 1. On the desk 1, you see a pen 1, and a pen 2.", "You see pen 1, pen 2."),
        ("You arrive at desk 1. On the desk 1, you see nothing.", "You see nothing."),
        ("You arrive at safe 1. The safe 1 is closed.", "Closed."),
        ("You open the safe 1. The safe 1 is open. In it, you see a watch 1.", "You see watch 1."),
        ("You pick up the pen 1 from the desk 1.", "Done."),
        ("You heat the egg 1 using the microwave 1.", "Done."),
        # Two receptacles at one location: their names are new information.
        (
            "You arrive at shelf 1. On the shelf 2, you see a pen 1. On the shelf 1, you see nothing.",
            "You arrive at shelf 1. On the shelf 2, you see pen 1. On the shelf 1, you see nothing.",
        ),
        ("Nothing happens.", "Nothing happens."),
    ],
)
def test_only_what_repeats_the_action_is_left_out(text, short):
    assert condensed(text) == short


def test_no_name_is_lost():
    for game in builtin_games(12, household="full"):
        play = Play(game)
        while not play.won:
            action = expert_action(play.view)
            play.step(action)
            text = play.view.observation.text
            assert set(NAME.findall(text)) <= set(NAME.findall(action + condensed(text))), text
