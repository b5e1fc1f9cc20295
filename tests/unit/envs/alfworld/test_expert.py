"""The history-only expert wins, wherever it is put, and knows only what it was shown."""

from random import Random
from statistics import fmean

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.core.types import Observation, Task, View
from leap_exp.envs.alfworld.errand import Errand, read_errand
from leap_exp.envs.alfworld.expert import expert_action, is_sound
from leap_exp.envs.alfworld.habits import search_order
from leap_exp.envs.alfworld.memory import recall, seen_names
from leap_exp.envs.alfworld.planner import shortest_plan
from tests.alfworld_games import Play, builtin_games, needs_archive, official_games

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


def test_goes_on_from_clumsy_histories_to_win():
    rng = Random(0)
    for game in builtin_games(60):
        play = Play(game).wander(rng, rng.randrange(1, 25))
        play.run(expert_action)
        assert play.won, f"{game.id}: {[step.decision.action for step in play.view.history]}"


@needs_archive
def test_goes_on_from_clumsy_histories_in_official_games():
    rng = Random(0)
    for game in official_games(40):
        play = Play(game).wander(rng, rng.randrange(1, 25))
        winnable = shortest_plan(play.world) is not None
        play.run(expert_action)
        assert play.won == winnable, f"{game.id}: {[step.decision.action for step in play.view.history]}"


def test_never_goes_to_a_place_twice_in_a_search():
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
def test_whoever_takes_any_sound_action_wins_too(household):
    rng = Random(1)
    for game in builtin_games(60, household=household):
        play = Play(game)

        def sound(view):
            choice = [action for action in view.observation.admissible_actions if is_sound(view, action)]
            assert expert_action(view) in choice
            return rng.choice(choice)

        play.run(sound, limit=STEP_LIMIT)
        assert play.won, f"{game.id}: {[step.decision.action for step in play.view.history]}"


def test_which_likely_place_to_look_in_first_is_a_matter_of_taste_and_what_serves_nothing_is_not_sound():
    room = "Looking quickly around you, you see a countertop 1, a desk 1, a fridge 1, and a toilet 1."
    offers = ("go to countertop 1", "go to desk 1", "go to fridge 1", "go to toilet 1", "look", "inventory")
    view = opening_view("put a mug in fridge.", room, *offers)
    sound = {action for action in offers if is_sound(view, action)}
    assert sound == {"go to countertop 1", "go to desk 1", "go to fridge 1"}


@pytest.mark.parametrize(
    ("sentence", "errand"),
    [
        ("put a mug in shelf.", Errand(kind="mug", count=1, treatment=None, place="shelf", lamp=None)),
        ("put some mug on shelf.", Errand(kind="mug", count=1, treatment=None, place="shelf", lamp=None)),
        ("put a hot egg in garbagecan.", Errand(kind="egg", count=1, treatment="heat", place="garbagecan", lamp=None)),
        ("cool some pan and put it in shelf.", Errand(kind="pan", count=1, treatment="cool", place="shelf", lamp=None)),
        ("find two pen and put them in desk.", Errand(kind="pen", count=2, treatment=None, place="desk", lamp=None)),
        ("put two pen in desk.", Errand(kind="pen", count=2, treatment=None, place="desk", lamp=None)),
        ("look at pen under the desklamp.", Errand(kind="pen", count=1, treatment=None, place=None, lamp="desklamp")),
        (
            "examine the pen with the desklamp.",
            Errand(kind="pen", count=1, treatment=None, place=None, lamp="desklamp"),
        ),
    ],
)
def test_reads_what_task_sentences_ask_for(sentence, errand):
    assert read_errand(sentence) == read_errand(f"Your task is to: {sentence}") == errand


def test_a_sentence_of_no_known_form_is_refused_by_name():
    with pytest.raises(EnvError, match="juggle three eggs"):
        read_errand("juggle three eggs.")


def test_needs_the_admissible_actions():
    view = opening_view("put a mug in shelf.", "You are in the middle of a room.")
    with pytest.raises(EnvError, match="admissible actions"):
        expert_action(view)


def test_searches_usual_kinds_first_then_by_number():
    places = ["cabinet 10", "cabinet 2", "toilet 1", "countertop 2", "coffeemachine 1", "countertop 1"]
    order = search_order("mug", places)
    assert order == ["coffeemachine 1", "countertop 1", "countertop 2", "cabinet 2", "cabinet 10", "toilet 1"]
    assert search_order("mug", places, first="cabinet")[:2] == ["cabinet 2", "cabinet 10"]


def test_remembers_what_was_seen_where_and_done():
    game = next(game for game in builtin_games(12) if game.goal.needs == "clean")
    play = Play(game)
    play.run(expert_action)
    memory = recall(play.view)
    (thing,) = (thing.name for thing in game.objects if play.world.clean >> thing.index & 1)
    target = next(place.name for place in game.receptacles if thing in memory.contents.get(place.name, ()))
    assert memory.treated[thing] == {"clean"}
    assert target.startswith(game.goal.receptacle_kind)
    assert memory.held is None


def test_seen_names_are_those_of_the_texts_and_offers_so_far():
    game = next(builtin_games(1))
    play = Play(game)
    opening = seen_names(play.view)
    assert opening == {place.name for place in game.receptacles}
    play.run(expert_action)
    assert opening < seen_names(play.view) <= opening | {thing.name for thing in game.objects}
