"""Condensed observations: fewer words, the same news."""

import re

import pytest

from leap_exp.core.types import Observation
from leap_exp.envs.alfworld.expert import expert_action
from leap_exp.prompts.condense import condense
from tests.alfworld_games import Play, builtin_games

NAME = re.compile(r"[a-z]+ \d+")
RESULTS = (
    "Instruction: [SEP] find me a mug, and price lower than 20.00 dollars [SEP] Back to Search [SEP] "
    "Page 2 (Total results: 50) [SEP] < Prev [SEP] Next > [SEP] B0AAAAAAAA [SEP] Red Mug [SEP] $9.5 to $12.0 [SEP] "
    "B0BBBBBBBB [SEP] Tea [SEP] $3.0"
)


def told(text, environment, *actions):
    return condense(Observation(text=text, admissible_actions=actions), environment=environment)


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
        # Two receptacles in one place: their names are news.
        (
            "You arrive at shelf 1. On the shelf 2, you see a pen 1. On the shelf 1, you see nothing.",
            "You arrive at shelf 1. On the shelf 2, you see pen 1. On the shelf 1, you see nothing.",
        ),
        ("Nothing happens.", "Nothing happens."),
    ],
)
def test_only_what_the_action_says_already_is_left_out(text, short):
    assert told(text, "alfworld") == short


def test_every_thing_that_an_observation_names_is_named_by_it_or_by_the_action_before():
    for game in builtin_games(12, household="full"):
        play = Play(game)
        while not play.won:
            action = expert_action(play.view)
            play.step(action)
            text = play.view.observation.text
            assert set(NAME.findall(text)) <= set(NAME.findall(action + told(text, "alfworld"))), text


def test_an_environment_without_rules_keeps_its_words():
    assert told("You arrive at desk 1. On the desk 1, you see a pen 1.", "toy").startswith("You arrive")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("WebShop [SEP] Instruction: [SEP] find me a mug [SEP] Search", "Task: find me a mug"),
        (RESULTS, "Page 2\nRed Mug $9.5 to $12.0\nTea $3.0"),
        (
            "Instruction: [SEP] find me a mug [SEP] Back to Search [SEP] < Prev [SEP] color [SEP] red [SEP] blue [SEP] "
            "Red Mug [SEP] Price: $9.5 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now",
            "color\nred\nblue\nRed Mug\nPrice: $9.5",
        ),
        ("Instruction: [SEP] find me a mug [SEP] Back to Search [SEP] < Prev [SEP] Holds tea", "Holds tea"),
    ],
)
def test_a_shop_s_pages_lose_what_all_pages_have(text, short):
    assert told(text, "webshop", "click[red mug]") == short


def test_results_keep_their_ids_where_these_are_what_is_clicked():
    assert "B0AAAAAAAA\nRed Mug" in told(RESULTS, "webshop", "click[b0aaaaaaaa]")
