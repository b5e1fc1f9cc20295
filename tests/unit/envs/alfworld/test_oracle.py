"""The oracle acts well under every disclosure, and its reasons reveal no more than the disclosure allows."""

import re
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import View
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import Game
from leap_exp.envs.alfworld.teaching.expert import expert_action, is_sound
from leap_exp.envs.alfworld.teaching.facts import privileged_facts
from leap_exp.envs.alfworld.teaching.memory import seen_names
from leap_exp.envs.alfworld.teaching.oracle import AlfworldOracle
from leap_exp.envs.alfworld.teaching.planner import shortest_plan
from tests.support.alfworld_games import Play, builtin_games, needs_archive, official_games

NAME = re.compile(r"\b[a-z]+ \d+\b")
NOT_REVEALING = [Disclosure.NONE, Disclosure.P25, Disclosure.P50]


def decided_views(games: Iterator[Game], *, seed: int) -> Iterator[tuple[Game, View]]:
    """Views from play by the expert mixed with random actions."""
    rng = Random(seed)
    for game in games:
        play = Play(game)
        while not play.won and len(play.view.history) < 30:
            yield game, play.view
            if rng.random() < 0.6:
                play.step(expert_action(play.view))
            else:
                play.wander(rng, 1)


def names_in(reason: str) -> set[str]:
    return set(NAME.findall(reason.lower()))


def reveals_place(game: Game, view: View, reason: str) -> bool:
    """Whether ``reason`` says, by its kind, that an object not seen yet is in the place where it starts."""
    seen, text = seen_names(view), reason.lower()
    world = World(game)
    for place in game.receptacles:
        for thing in world.contents[place.index]:
            kind, name = game.objects[thing].kind, game.objects[thing].name
            statement = rf"\b{kind}\b(?! \d)[^,;.]* (is|are) (in|on) {place.name}\b|\b{place.name} holds"
            if name not in seen and re.search(statement, text):
                return True
    return False


def check_nothing_is_revealed(games: Iterator[Game], *, seed: int) -> int:
    checked = 0
    for game, view in decided_views(games, seed=seed):
        sound = [action for action in view.observation.admissible_actions if is_sound(view, action)]
        for disclosure, taken in [(disclosure, taken) for disclosure in NOT_REVEALING for taken in (None, sound[-1])]:
            decision = AlfworldOracle(game).decide(view, disclosure, seed=seed, taken=taken)
            unseen = names_in(decision.reason) - seen_names(view)
            assert not unseen, f"{game.id} {disclosure}: {decision.reason}"
            assert not reveals_place(game, view, decision.reason), f"{game.id} {disclosure}: {decision.reason}"
            checked += 1
    return checked


def test_reasons_up_to_p50_reveal_nothing_hidden():
    assert check_nothing_is_revealed(builtin_games(40), seed=1) > 1000


def test_sound_actions_are_kept_up_to_p25_and_facts_decide_from_p50():
    overruled = 0
    for game, view in decided_views(builtin_games(20), seed=5):
        oracle = AlfworldOracle(game)
        for taken in view.observation.admissible_actions:
            decided = {level: oracle.decide(view, level, seed=0, taken=taken).action for level in NOT_REVEALING}
            assert (decided[Disclosure.NONE] == taken) == is_sound(view, taken)
            if is_sound(view, taken):
                assert decided[Disclosure.P25] == taken
            assert decided[Disclosure.P50] == oracle.decide(view, Disclosure.P50, seed=0).action
            overruled += is_sound(view, taken) and decided[Disclosure.P50] != taken
    assert overruled > 0


def test_action_values_are_minus_the_remaining_plan_lengths():
    checked = 0
    for game, view in decided_views(builtin_games(8), seed=6):
        oracle = AlfworldOracle(game)
        values = oracle.action_values(view, Disclosure.P50)
        assert values.keys() == set(view.observation.admissible_actions)
        assert oracle.decide(view, Disclosure.P50, seed=0).action in [
            a for a in values if values[a] == max(values.values())
        ]
        for action, value in values.items():
            world = World(game)
            for step in view.history:
                world.step(step.decision.action)
            now = shortest_plan(world)
            world.step(action)
            left = shortest_plan(world)
            assert value == -len(left)
            assert len(now) - 1 <= len(left)
            checked += 1
        assert not oracle.action_values(view, Disclosure.NONE)
        assert not oracle.action_values(view, Disclosure.P25)
    assert checked > 500


@needs_archive
def test_reasons_up_to_p50_reveal_nothing_hidden_in_official_games():
    assert check_nothing_is_revealed(official_games(24), seed=2) > 500


def hidden_now(game: Game, view: View) -> bool:
    """Whether the next object of a shortest plan, besides the held one, has not been seen yet."""
    world = World(game)
    for step in view.history:
        world.step(step.decision.action)
    plan = shortest_plan(world)
    assert plan is not None
    handled = [action for action in plan if action.object >= 0]
    if handled[0].name == "putobject" and game.objects[handled[0].object].otype != game.goal.otype:
        handled = handled[1:]
    return game.objects[handled[0].object].name not in seen_names(view)


def test_p100_always_names_the_hidden_object_and_p75_sometimes():
    named: Counter[Disclosure] = Counter()
    hidden = 0
    for game, view in decided_views(builtin_games(60), seed=3):
        is_hidden = hidden_now(game, view)
        hidden += is_hidden
        for disclosure in (Disclosure.P75, Disclosure.P100):
            reason = AlfworldOracle(game).decide(view, disclosure, seed=3).reason
            names_hidden = bool(names_in(reason) - seen_names(view))
            assert not (names_hidden and not is_hidden), reason
            named[disclosure] += names_hidden
    assert hidden > 200
    assert named[Disclosure.P100] == hidden
    assert 0.12 < named[Disclosure.P75] / hidden < 0.38


def test_reasons_at_none_and_p50_are_equal_for_equal_actions():
    same = 0
    for game, view in decided_views(builtin_games(30), seed=4):
        oracle = AlfworldOracle(game)
        blind, sighted = (oracle.decide(view, disclosure, seed=4) for disclosure in (Disclosure.NONE, Disclosure.P50))
        if blind.action == sighted.action:
            assert blind.reason == sighted.reason
            same += 1
    assert same > 100


def test_decisions_at_none_do_not_depend_on_the_game():
    games = builtin_games(4)
    game, other = next(games), next(games)
    play = Play(game)
    while not play.won:
        decision, of_other_game = (
            AlfworldOracle(known).decide(play.view, Disclosure.NONE, seed=0) for known in (game, other)
        )
        assert decision == of_other_game
        play.step(decision)


@pytest.mark.parametrize("disclosure", list(Disclosure))
def test_wins_with_admissible_actions_after_random_histories(disclosure):
    rng = Random(5)
    for game in builtin_games(24):
        oracle = AlfworldOracle(game)
        play = Play(game).wander(rng, rng.randrange(0, 15))
        needed = len(shortest_plan(play.world) or ())
        taken = play.run(lambda view, oracle=oracle: oracle.decide(view, disclosure, seed=0))
        assert play.won, game.id
        assert all(step.is_valid for step in play.view.history[-taken:])
        if disclosure.percent >= 50:
            assert taken == needed, game.id


def test_more_privilege_needs_fewer_steps():
    steps: Counter[Disclosure] = Counter()
    for game in builtin_games(36, household="full"):
        oracle = AlfworldOracle(game)
        for disclosure in NOT_REVEALING:
            steps[disclosure] += Play(game).run(lambda view, o=oracle, d=disclosure: o.decide(view, d, seed=0))
    assert steps[Disclosure.P50] < steps[Disclosure.P25] < steps[Disclosure.NONE]


def test_reasons_are_varied_sentences_of_8_to_25_words():
    reasons = []
    for game, view in decided_views(builtin_games(40), seed=6):
        for disclosure in Disclosure:
            reason = AlfworldOracle(game).decide(view, disclosure, seed=6).reason
            assert 8 <= len(reason.split()) <= 25, reason
            assert re.fullmatch(r"[A-Z][^.{}]*\.", reason), reason
            assert "  " not in reason
            reasons.append(NAME.sub("X", reason))
    assert Counter(reasons).most_common(1)[0][1] < 0.05 * len(reasons)


def test_the_seed_changes_the_wording_but_not_the_action():
    game = next(builtin_games(1))
    view = Play(game).view
    decisions = [AlfworldOracle(game).decide(view, Disclosure.P50, seed=seed) for seed in range(10)]
    assert len({decision.action for decision in decisions}) == 1
    assert len({decision.reason for decision in decisions}) > 3
    assert decisions[3] == AlfworldOracle(game).decide(view, Disclosure.P50, seed=3)


def test_privileged_facts_contain_objects_places_and_a_winning_plan():
    for game in builtin_games(12):
        facts = privileged_facts("alfworld/game", game)
        play = Play(game)
        for command in facts.data["plan"]:
            assert f". {command}\n" in f"{facts.text}\n"
            play.step(command)
        assert play.won
        world = World(game)
        for name, place in facts.data["locations"].items():
            assert f"{name}: " in facts.text
            index = next(receptacle.index for receptacle in game.receptacles if receptacle.name == place)
            assert name in {game.objects[thing].name for thing in world.contents[index]}
        assert set(facts.data["essential_objects"]) <= set(facts.data["locations"])
        assert not set(facts.data["hidden_names"]) & seen_names(Play(game).view)
