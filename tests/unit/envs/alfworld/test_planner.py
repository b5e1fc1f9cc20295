"""Plans win, and no search over all commands finds a shorter one."""

from random import Random

import pytest

from leap_exp.envs.alfworld.fast import World
from leap_exp.envs.alfworld.planner import plan_commands, shortest_plan
from tests.alfworld_games import Play, builtin_games, needs_archive, official_games

IDLE = {"look", "inventory", "help", "examinereceptacle", "examineobject"}
MOST_STATES = 1000


def wins_within(world: World, commands: int) -> bool | None:
    """Whether some sequence of at most ``commands`` wins, by plain breadth-first search; None if there are too many."""
    frontier, known = [world], {world.key}
    for _ in range(commands):
        reached = []
        for state in frontier:
            for _, action in state.admissible():
                if action.name in IDLE:
                    continue
                after = state.copy()
                after.apply(action)
                if after.won:
                    return True
                if after.key not in known:
                    known.add(after.key)
                    reached.append(after)
            if len(known) > MOST_STATES:
                return None
        frontier = reached
    return False


def play_plan(world: World) -> int:
    """The number of commands of the shortest plan, after seeing that it wins with the last of them."""
    plan = shortest_plan(world)
    assert plan is not None
    commands = plan_commands(world, plan)
    after = world.copy()
    for command in commands:
        assert not after.won
        after.step(command)
    assert after.won, f"{world.game.id}: {commands}"
    return len(commands)


def check_shortest(games, *, seed: int) -> int:
    """Check plans from the start and from where clumsy play leads; the number that search could confirm."""
    rng, confirmed = Random(seed), 0
    for game in games:
        for wandering in (0, rng.randrange(1, 30)):
            world = Play(game).wander(rng, wandering).world
            if shortest_plan(world) is None:
                continue
            shorter = wins_within(world, play_plan(world) - 1)
            assert not shorter, f"{game.id} after {wandering} steps"
            confirmed += shorter is False
    return confirmed


def test_no_plan_is_longer_than_needed():
    assert check_shortest(builtin_games(18), seed=1) >= 12


@needs_archive
def test_no_plan_for_an_official_game_is_longer_than_needed():
    assert check_shortest(official_games(18), seed=2) >= 8


@pytest.mark.slow
def test_no_plan_is_longer_than_needed_in_many_games():
    assert check_shortest(builtin_games(100, split="train"), seed=3) >= 70


@needs_archive
def test_plans_win_all_kinds_of_official_games():
    types = set()
    for game in official_games(120):
        play_plan(World(game))
        types.add(game.goal.task_type)
    assert len(types) == 6


def test_a_won_game_needs_no_plan():
    game = next(builtin_games(1))
    world = World(game)
    for command in plan_commands(world, shortest_plan(world) or ()):
        world.step(command)
    assert shortest_plan(world) == ()


def test_equal_states_give_equal_plans_and_planning_changes_nothing():
    for game in builtin_games(12):
        world = World(game)
        key = world.key
        assert shortest_plan(world) == shortest_plan(world.copy())
        assert world.key == key
