"""The fast engine against TextWorld, on a sample of official and built-in games."""

import json
from functools import cache

import pytest

from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.engine.compare import compare_engines
from leap_exp.envs.alfworld.engine.fast import World, open_fast
from leap_exp.envs.alfworld.engine.textworld import TextWorldPlay, memoised_textworld
from tests.support.alfworld_games import needs_archive, official_texts

pytest.importorskip("textworld", reason="the reference engine comes with the extra alfworld")

BUILTIN = [("small", "train", 0), ("small", "valid_unseen", 3), ("full", "valid_seen", 4)]


@cache
def _official():
    return list(official_texts(3))


def _differences(text, name):
    walkthrough = json.loads(text)["walkthrough"]
    with memoised_textworld():
        return compare_engines(text, TextWorldPlay, open_fast, game_id=name, walkthrough=walkthrough, steps=25, seed=1)


@needs_archive
@pytest.mark.parametrize("index", range(3))
def test_official_games_play_the_same(index):
    name, text = _official()[index]
    assert [str(difference) for difference in _differences(text, name)] == []


@pytest.mark.parametrize(("household", "split", "index"), BUILTIN)
def test_built_in_games_play_the_same(household, split, index):
    text = generate_game(split, index, seed=0, household=household)
    assert [str(difference) for difference in _differences(text, f"{household}/{split}/{index}")] == []


def test_memoised_textworld_equals_stock_textworld():
    text = generate_game("train", 1, seed=0, household="small")
    walkthrough = json.loads(text)["walkthrough"]
    commands = ["look", "go nowhere", *walkthrough[:3], "inventory", "look", *walkthrough[3:]]

    def recording():
        play = TextWorldPlay(text)
        shown = [(play.text, play.admissible, play.reward, play.done, play.won)]
        for command in commands:
            play.step(command)
            shown.append((play.text, play.admissible, play.reward, play.done, play.won))
        play.close()
        return shown

    stock = recording()
    with memoised_textworld():
        assert recording() == stock
    assert stock[-1][-1], "the walkthrough should win"


@pytest.mark.parametrize("broken", ["text", "admissible", "won"])
def test_comparison_finds_a_wrong_engine(broken, monkeypatch):
    text = generate_game("train", 0, seed=0, household="small")
    if broken == "text":
        monkeypatch.setattr(World, "apply", lambda world, action, _apply=World.apply: _apply(world, action) + " ")
    elif broken == "admissible":
        monkeypatch.setattr(World, "admissible", lambda world, _listed=World.admissible: _listed(world)[::-1])
    else:
        monkeypatch.setattr("leap_exp.envs.alfworld.engine.goal.GoalCondition.satisfied", lambda goal, world: False)
    differences = _differences(text, "game")
    assert differences
    assert all(difference.field in {broken, "reward", "done"} for difference in differences)
