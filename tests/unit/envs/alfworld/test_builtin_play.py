"""Walkthroughs of built-in games win on the fast engine and on TextWorld."""

import json

import pytest

from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.teaching.planner import shortest_plan


@pytest.mark.parametrize("household", HOUSEHOLDS)
@pytest.mark.parametrize("split", SPLIT_ROOMS)
def test_walkthroughs_are_shortest_and_win(split, household):
    for index in range(60):
        game = read_game(generate_game(split, index, seed=11, household=household))
        world = World(game)
        assert len(shortest_plan(world)) == len(game.walkthrough)
        for command in game.walkthrough:
            assert not world.won
            world.apply(dict(world.admissible())[command])
        assert world.won


# A lamp, a basin and two objects: the ids, facts and goals that are easiest to get wrong.
@pytest.mark.parametrize(("index", "household"), [(1, "full"), (2, "small"), (5, "full")])
def test_walkthroughs_win_on_textworld(index, household, tmp_path):
    textworld = pytest.importorskip("textworld")
    pddl = pytest.importorskip("textworld.envs.pddl")
    demangler = pytest.importorskip("alfworld.agents.environment.alfred_tw_env").AlfredDemangler
    text = generate_game("valid_unseen", index, seed=11, household=household)
    file = tmp_path / "game.tw-pddl"
    file.write_text(text, encoding="utf-8")
    reference = demangler(pddl.PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True)))
    reference.load(str(file))
    state = reference.reset()
    assert state.feedback == World(read_game(text)).intro()
    for command in json.loads(text)["walkthrough"]:
        assert command in state.admissible_commands
        assert not state.won
        state, _, _ = reference.step(command)
    assert state.won
