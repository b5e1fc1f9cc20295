"""The households that a history does not tell apart."""

from collections import Counter

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.teaching.expert import expert_action
from leap_exp.envs.alfworld.teaching.facts import holder
from leap_exp.envs.alfworld.teaching.memory import recall, seen_names
from leap_exp.envs.alfworld.teaching.worlds import consistent_worlds
from tests.support.alfworld_games import Play, builtin_games


def places(game):
    """Where the wanted objects and the lamps are."""
    goal, world = game.goal, World(game)
    wanted = [thing for thing in game.objects if thing.otype in (goal.otype, goal.lamp_otype)]
    return tuple((thing.name, holder(world, thing.index)) for thing in wanted)


@pytest.mark.parametrize("game", list(builtin_games(6)), ids=lambda game: game.goal.task_type)
def test_worlds_have_the_same_past_and_the_true_one_is_among_them_until_one_is_left(game):
    play, left = Play(game), []
    while not play.won and len(play.view.history) < 30:
        worlds = consistent_worlds(game, play.view, limit=2_000, seed=0)
        games = [oracle._game for oracle in worlds.oracles]
        assert worlds.is_exact
        assert sum(worlds.probabilities) == pytest.approx(1.0)
        assert places(game) in list(map(places, games))
        assert len(set(map(places, games))) == len(games)
        for other in (games[0], games[-1]):
            replay = Play(other)
            for step in play.view.history:
                replay.step(step.decision.action)
            assert replay.view.observation == play.view.observation
        left.append(len(games))
        play.step(expert_action(play.view))
    assert play.won
    assert left == sorted(left, reverse=True)
    assert left[0] > 1


def test_an_object_is_where_the_generator_puts_it_by_weight_and_not_where_it_was_searched():
    for game in builtin_games(12):
        play = Play(game)
        for _ in range(2):
            play.step(expert_action(play.view))
        hidden = {name for name, _ in places(game)} - seen_names(play.view)
        if hidden:
            break
    searched = recall(play.view).contents
    chances = Counter()
    worlds = consistent_worlds(game, play.view, limit=2_000, seed=0)
    for oracle, probability in zip(worlds.oracles, worlds.probabilities, strict=True):
        for name, place in places(oracle._game):
            if name in hidden:
                chances[name, place] += probability
    assert not {place for _, place in chances} & set(searched)
    assert {round(sum(share for (other, _), share in chances.items() if other == name), 9) for name in hidden} == {1.0}


def test_too_many_worlds_are_drawn_alike_with_one_seed():
    view = Play(game := next(builtin_games(1))).view
    drawn = [consistent_worlds(game, view, limit=2, seed=seed) for seed in (0, 0, 1)]
    assert [worlds.is_exact for worlds in drawn] == [False] * 3
    first, again, _ = ([places(oracle._game) for oracle in worlds.oracles] for worlds in drawn)
    assert first == again
    assert drawn[0].probabilities == (0.5, 0.5)
    assert drawn[0].oracles[0].decide(view, Disclosure.P50, seed=0).action in view.observation.admissible_actions
