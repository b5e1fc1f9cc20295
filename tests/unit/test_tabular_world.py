"""The corridor of boxes: its exact values, against an enumeration and against play."""

import sys
from itertools import permutations
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/tabular_world"))

from leap_boxes import BoxesConfig, state_of
from leap_boxes.corridor import (
    LEFT,
    OPEN,
    RIGHT,
    Corridor,
    action_value,
    best_value,
    expected_steps,
    informed_value,
    value,
)
from leap_exp.analysis.information import action_shares
from leap_exp.analysis.leakage import leaks
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import views
from leap_exp.envs.contract import contract_violations
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import OraclePolicy, RandomPolicy

CORRIDOR = Corridor(5)


def steps_in_order(order, world):
    """The steps to the coin of one who opens the boxes in this order."""
    steps, position = 0, CORRIDOR.start.position
    for box in order:
        steps += abs(box - position) + 1
        position = box
        if box == world:
            return steps
    raise AssertionError


def uniform(state, steps):
    actions = CORRIDOR.actions(state)
    return dict.fromkeys(actions, 1 / len(actions))


def best(state, steps):
    values = {action: action_value(CORRIDOR, state, action, steps) for action in CORRIDOR.actions(state)}
    return {max(values, key=values.get): 1.0}


def test_the_contract_is_kept():
    environment = BoxesConfig(boxes=5).build()
    assert [contract_violations(environment, split, tasks=5) for split in ("train", "valid_unseen")] == [[], []]


def test_the_information_of_a_correction_is_computed_by_hand():
    environment = BoxesConfig(boxes=5).build()
    task = environment.tasks("train")[0]
    (trajectory,) = rollout(
        environment,
        OraclePolicy(environment, Disclosure.P100),
        [task],
        seed=0,
        max_steps=12,
        batch=1,
        on_progress=lambda done, total: None,
    )
    first = views(trajectory)[0]
    shares = action_shares(environment, first, Disclosure.P100, taken=None, limit=64, seed=0)
    assert shares.by_action == pytest.approx({LEFT: 0.4, OPEN: 0.2, RIGHT: 0.4})
    assert (shares.worlds, shares.is_exact) == (5, True)
    drawn = action_shares(environment, first, Disclosure.P100, taken=None, limit=3, seed=0)
    assert (drawn.worlds, drawn.is_exact) == (3, False)


def test_expected_steps_are_those_of_the_best_order():
    orders = permutations(range(5))
    least = min(sum(steps_in_order(order, world) for world in range(5)) / 5 for order in orders)
    assert expected_steps(CORRIDOR, CORRIDOR.start) == pytest.approx(least)


@pytest.mark.parametrize("steps", range(10))
def test_values_agree_with_each_other(steps):
    assert value(CORRIDOR, best, steps) == pytest.approx(best_value(CORRIDOR, CORRIDOR.start, steps))
    informed = sum(informed_value(CORRIDOR, world, CORRIDOR.start, steps) for world in range(5)) / 5
    assert value(CORRIDOR, uniform, steps) <= best_value(CORRIDOR, CORRIDOR.start, steps) <= informed


def test_states_and_consistent_worlds_are_those_of_play():
    environment = BoxesConfig(boxes=5).build()
    tasks = environment.tasks("train")[:10]
    states = CORRIDOR.states()
    assert len(states) == len(set(states))
    for trajectory in rollout(
        environment, RandomPolicy(), tasks, seed=0, max_steps=12, batch=4, on_progress=lambda done, total: None
    ):
        world = environment.world(trajectory.task)
        for view, step in zip(views(trajectory), trajectory.steps, strict=True):
            state = state_of(CORRIDOR, view)
            assert state in states
            assert world in CORRIDOR.consistent_worlds(state)
            assert step.observation.admissible_actions == CORRIDOR.actions(state)


def test_a_random_policy_finds_the_coin_as_often_as_computed():
    environment = BoxesConfig(boxes=5, copies=200).build()
    trajectories = rollout(
        environment,
        RandomPolicy(),
        environment.tasks("train"),
        seed=1,
        max_steps=8,
        batch=64,
        on_progress=lambda done, total: None,
    )
    found = sum(trajectory.succeeded for trajectory in trajectories) / len(trajectories)
    assert found == pytest.approx(value(CORRIDOR, uniform, 8), abs=0.05)


@pytest.mark.parametrize("disclosure", list(Disclosure))
def test_the_oracle_is_exactly_best_at_every_level(disclosure):
    environment = BoxesConfig(boxes=5).build()
    tasks = environment.tasks("train")[:5]
    trajectories = rollout(
        environment,
        OraclePolicy(environment, disclosure),
        tasks,
        seed=0,
        max_steps=12,
        batch=4,
        on_progress=lambda done, total: None,
    )
    mean = sum(len(trajectory.steps) for trajectory in trajectories) / 5
    informed = sum(CORRIDOR.steps_left(world, CORRIDOR.start) for world in range(5)) / 5
    without = expected_steps(CORRIDOR, CORRIDOR.start)
    revealed = [
        leaks(view, step.decision.reason, environment.privileged(trajectory.task))
        for trajectory in trajectories
        for view, step in zip(views(trajectory), trajectory.steps, strict=True)
    ]
    if disclosure is not Disclosure.P75:
        assert any(revealed) == (disclosure is Disclosure.P100)
    if disclosure is Disclosure.NONE:
        assert mean == pytest.approx(without)
    elif disclosure is Disclosure.P25:
        assert informed <= mean <= without
    else:
        assert mean == pytest.approx(informed)


def test_what_is_open_cannot_be_opened_again():
    environment = BoxesConfig(boxes=3).build()
    with environment.open(environment.tasks("train")[0], seed=0) as episode:
        assert episode.step(OPEN).observation.text == "It is empty."
        before = episode.observation.admissible_actions
        assert episode.step(OPEN).observation.text == "You cannot do that."
        assert episode.observation.admissible_actions == before
