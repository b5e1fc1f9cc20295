"""Plans win, and exhaustive search finds no shorter ones."""

from random import Random

import pytest

from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.teaching.planner import plan_commands, shortest_plan
from tests.support.alfworld_games import Play, builtin_games, needs_archive, official_games

UNCHANGING = {"look", "inventory", "help", "examinereceptacle", "examineobject"}
MOST_STATES = 1000


def wins_within(world: World, commands: int) -> bool | None:
    """Whether at most ``commands`` commands can win, by breadth-first search; None if there are too many states."""
    frontier, known = [world], {world.key}
    for _ in range(commands):
        reached = []
        for state in frontier:
            for _, action in state.admissible():
                if action.name in UNCHANGING:
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
    """Play the shortest plan, which must win with its last command, and return its length."""
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
    """Check plans from the start and from random states; return how many were confirmed by search."""
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


def test_plans_are_shortest():
    assert check_shortest(builtin_games(18), seed=1) >= 12


@needs_archive
def test_plans_of_official_games_are_shortest():
    assert check_shortest(official_games(18), seed=2) >= 8


@pytest.mark.slow
def test_plans_of_many_games_are_shortest():
    assert check_shortest(builtin_games(100, split="train"), seed=3) >= 70


@needs_archive
def test_plans_win_all_kinds_of_official_games():
    types = set()
    for game in official_games(120):
        play_plan(World(game))
        types.add(game.goal.task_type)
    assert len(types) == 6


def test_plan_of_a_won_game_is_empty():
    game = next(builtin_games(1))
    world = World(game)
    for command in plan_commands(world, shortest_plan(world) or ()):
        world.step(command)
    assert shortest_plan(world) == ()


def test_equal_states_have_equal_plans_and_planning_does_not_change_them():
    for game in builtin_games(12):
        world = World(game)
        key = world.key
        assert shortest_plan(world) == shortest_plan(world.copy())
        assert world.key == key
