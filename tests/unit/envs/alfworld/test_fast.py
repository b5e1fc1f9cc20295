import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine.fast import NOTHING_HAPPENS, World
from tests.support.alfworld_games import builtin_games


@pytest.fixture
def world():
    (game,) = builtin_games(1)
    return World(game)


def commands(world):
    return [command for command, _ in world.admissible()]


def any_command(world, start):
    return next(command for command in commands(world) if command.startswith(start))


def walk(world, rng, steps):
    return [world.step(rng.choice(commands(world))) for _ in range(steps)]


def holding():
    """A world whose agent has just taken something, and its name."""
    (game,) = builtin_games(1)
    world = World(game)
    for command in game.walkthrough:
        world.step(command)
        if command.startswith("take "):
            return world, command.removeprefix("take ").split(" from ")[0]
    raise AssertionError("the walkthrough takes nothing")


def test_opening_lists_every_receptacle_and_the_task(world):
    text = world.intro()
    assert text.startswith("-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room.")
    assert all(f"a {place.name}" in text for place in world.game.receptacles)
    assert text.endswith(f"Your task is to: {world.game.instruction}")


def test_looking_before_the_first_move_shows_nothing(world):
    assert world.step("look").endswith("you see nothing.")


def test_going_to_the_current_place_is_not_admissible(world):
    go = any_command(world, "go to")
    world.step(go)
    assert go not in commands(world)
    before = world.key
    assert world.step(go) == NOTHING_HAPPENS
    assert world.key == before


@pytest.mark.parametrize("command", ["", "sing", "LOOK", "go  to bed 1", "take mug 99 from bed 1"])
def test_inadmissible_commands_change_nothing(world, command):
    before = world.key
    assert world.step(command) == NOTHING_HAPPENS
    assert world.key == before


def test_white_space_around_a_command_does_not_matter(world):
    assert world.step("  look \n") != NOTHING_HAPPENS


def test_only_held_objects_can_be_examined():
    world, name = holding()
    assert f"examine {name}" in commands(world)
    world.step(any_command(world, f"move {name} to"))
    assert f"examine {name}" not in commands(world)


def test_commands_are_sorted_and_unique():
    rng = random.Random(0)
    for game in builtin_games(6, household="full"):
        world = World(game)
        for _ in range(40):
            listed = commands(world)
            assert listed == sorted(set(listed))
            world.step(rng.choice(listed))


def test_heating_undoes_cooling():
    heat = next(
        game
        for game in builtin_games(60, household="full")
        if game.goal.needs == "hot"
        and all(
            game.flags["coolable"] >> thing.index & 1 for thing in game.objects if thing.kind == game.goal.object_kind
        )
    )
    world = World(heat)
    for command in heat.walkthrough:
        world.step(command)
        if command.startswith("heat "):
            break
    thing = 1 << world.held
    assert world.hot & thing
    world.step(any_command(world, "go to fridge"))
    world.step(any_command(world, "cool "))
    assert world.cool & thing
    assert not world.hot & thing


def test_copies_are_independent(world):
    walk(world, random.Random(1), 10)
    key, listed = world.key, commands(world)
    other = world.copy()
    assert other.key == key
    walk(other, random.Random(2), 20)
    assert (world.key, commands(world)) == (key, listed)


def test_equal_keys_mean_equal_futures(world):
    walk(world, random.Random(3), 5)
    same = world.copy()
    same.step("inventory")
    assert same.key == world.key
    assert walk(same, random.Random(4), 30) == walk(world, random.Random(4), 30)


_SHARED = {}
"""The environment that threads and forked processes share."""


def _share_new_environment():
    """Share an environment that has read and rendered nothing yet."""
    _SHARED["environment"] = AlfworldEnvironment(AlfworldConfig(household="full", select="0:4"))


def _recorded(index):
    """The observations of a fixed random walk in one of four games."""
    environment = _SHARED["environment"]
    rng = random.Random(index)
    with environment.open(environment.tasks("train")[index % 4], seed=0) as episode:
        shown = [episode.observation]
        for _ in range(60):
            transition = episode.step(rng.choice(shown[-1].admissible_actions))
            shown.append(transition.observation)
            if transition.done:
                break
    return shown


def test_threads_and_forks_see_the_same_as_one_process():
    _share_new_environment()
    alone = [_recorded(index) for index in range(24)]
    _share_new_environment()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(_recorded, range(24))) == alone
    _share_new_environment()
    with multiprocessing.get_context("fork").Pool(3) as forks:
        assert forks.map(_recorded, range(24)) == alone
