"""The expert that knows only its history wins from any state."""

from random import Random
from statistics import fmean

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.core.types import Observation, Task, View
from leap_exp.envs.alfworld.teaching.expert import expert_action, is_sound
from leap_exp.envs.alfworld.teaching.likely_places import search_order
from leap_exp.envs.alfworld.teaching.memory import recall, seen_names
from leap_exp.envs.alfworld.teaching.planner import shortest_plan
from leap_exp.envs.alfworld.teaching.subtask import Subtask, read_subtask
from tests.support.alfworld_games import Play, builtin_games, needs_archive, official_games

STEP_LIMIT = 50


def opening_view(instruction: str, text: str, *actions: str) -> View:
    task = Task(id="game", split="test", instruction=instruction, kind="test")
    return View(task=task, history=(), observation=Observation(text=text, admissible_actions=actions))


@pytest.mark.parametrize("household", ["small", "full"])
def test_wins_built_in_games_in_few_steps(household):
    steps = []
    for game in builtin_games(60, household=household):
        play = Play(game)
        steps.append(play.run(expert_action, limit=STEP_LIMIT))
        assert play.won, f"{game.id}: {game.instruction}"
    assert fmean(steps) < (9 if household == "small" else 12)


@needs_archive
def test_wins_official_games():
    for game in official_games(60):
        play = Play(game)
        play.run(expert_action, limit=STEP_LIMIT)
        assert play.won, f"{game.id}: {game.instruction}"


def test_wins_after_random_histories():
    rng = Random(0)
    for game in builtin_games(60):
        play = Play(game).wander(rng, rng.randrange(1, 25))
        play.run(expert_action)
        assert play.won, f"{game.id}: {[step.decision.action for step in play.view.history]}"


@needs_archive
def test_wins_after_random_histories_in_official_games():
    rng = Random(0)
    for game in official_games(40):
        play = Play(game).wander(rng, rng.randrange(1, 25))
        winnable = shortest_plan(play.world) is not None
        play.run(expert_action)
        assert play.won == winnable, f"{game.id}: {[step.decision.action for step in play.view.history]}"


def test_never_searches_a_place_twice():
    for game in builtin_games(30, household="full"):
        play = Play(game)
        searched = []
        while not play.won:
            action = expert_action(play.view)
            if recall(play.view).held is None and action.startswith("go to ") and game.goal.count == 1:
                searched.append(action)
            play.step(action)
        assert len(searched) == len(set(searched)), game.id


@pytest.mark.parametrize("household", ["small", "full"])
def test_a_policy_that_takes_any_sound_action_wins(household):
    rng = Random(1)
    for game in builtin_games(60, household=household):
        play = Play(game)

        def sound(view):
            choice = [action for action in view.observation.admissible_actions if is_sound(view, action)]
            assert expert_action(view) in choice
            return rng.choice(choice)

        play.run(sound, limit=STEP_LIMIT)
        assert play.won, f"{game.id}: {[step.decision.action for step in play.view.history]}"


def test_all_likely_places_are_sound_and_useless_actions_are_not():
    room = "Looking quickly around you, you see a countertop 1, a desk 1, a fridge 1, and a toilet 1."
    offers = ("go to countertop 1", "go to desk 1", "go to fridge 1", "go to toilet 1", "look", "inventory")
    view = opening_view("put a mug in fridge.", room, *offers)
    sound = {action for action in offers if is_sound(view, action)}
    assert sound == {"go to countertop 1", "go to desk 1", "go to fridge 1"}


@pytest.mark.parametrize(
    ("sentence", "subtask"),
    [
        ("put a mug in shelf.", Subtask(kind="mug", count=1, treatment=None, place="shelf", lamp=None)),
        ("put some mug on shelf.", Subtask(kind="mug", count=1, treatment=None, place="shelf", lamp=None)),
        ("put a hot egg in garbagecan.", Subtask(kind="egg", count=1, treatment="heat", place="garbagecan", lamp=None)),
        (
            "cool some pan and put it in shelf.",
            Subtask(kind="pan", count=1, treatment="cool", place="shelf", lamp=None),
        ),
        ("find two pen and put them in desk.", Subtask(kind="pen", count=2, treatment=None, place="desk", lamp=None)),
        ("put two pen in desk.", Subtask(kind="pen", count=2, treatment=None, place="desk", lamp=None)),
        ("look at pen under the desklamp.", Subtask(kind="pen", count=1, treatment=None, place=None, lamp="desklamp")),
        (
            "examine the pen with the desklamp.",
            Subtask(kind="pen", count=1, treatment=None, place=None, lamp="desklamp"),
        ),
    ],
)
def test_task_sentences_are_parsed(sentence, subtask):
    assert read_subtask(sentence) == read_subtask(f"Your task is to: {sentence}") == subtask


def test_error_for_an_unknown_sentence_quotes_it():
    with pytest.raises(EnvError, match="juggle three eggs"):
        read_subtask("juggle three eggs.")


def test_expert_needs_the_admissible_actions():
    view = opening_view("put a mug in shelf.", "You are in the middle of a room.")
    with pytest.raises(EnvError, match="admissible actions"):
        expert_action(view)


def test_search_order_is_by_likely_kind_and_then_by_number():
    places = ["cabinet 10", "cabinet 2", "toilet 1", "countertop 2", "coffeemachine 1", "countertop 1"]
    order = search_order("mug", places)
    assert order == ["coffeemachine 1", "countertop 1", "countertop 2", "cabinet 2", "cabinet 10", "toilet 1"]
    assert search_order("mug", places, first="cabinet")[:2] == ["cabinet 2", "cabinet 10"]


def test_memory_holds_contents_and_treatments():
    game = next(game for game in builtin_games(12) if game.goal.needs == "clean")
    play = Play(game)
    play.run(expert_action)
    memory = recall(play.view)
    (thing,) = (thing.name for thing in game.objects if play.world.clean >> thing.index & 1)
    target = next(place.name for place in game.receptacles if thing in memory.contents.get(place.name, ()))
    assert memory.treated[thing] == {"clean"}
    assert target.startswith(game.goal.receptacle_kind)
    assert memory.held is None


def test_seen_names_come_from_observations_and_admissible_actions():
    game = next(builtin_games(1))
    play = Play(game)
    opening = seen_names(play.view)
    assert opening == {place.name for place in game.receptacles}
    play.run(expert_action)
    assert opening < seen_names(play.view) <= opening | {thing.name for thing in game.objects}
