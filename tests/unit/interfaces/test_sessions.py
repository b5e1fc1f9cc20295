"""Environments by name, and sessions of them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from leap_exp.core.errors import ConfigError, EnvError
from leap_exp.core.types import Task
from leap_exp.interfaces.sessions import AsyncSession, Session, SharedEnvironment, environment_config
from tests.support.toy import DOORS, ToyEnvironment, prize_door

TASK = Task(id="toy/red", split="train", instruction="Find the prize behind the red door.", kind="red")


def test_settings_are_those_of_the_registered_environment():
    config = environment_config("alfworld", {"household": "full"})
    assert (config.household, config.engine) == ("full", "fast")


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("alfword", {}, ["'alfword'", "alfworld, intercode_bash, joint, webshop"]),
        ("alfworld", {"gmaes": 1}, ["'gmaes'", "games"]),
        ("alfworld", {"engine": "slow"}, ["engine=slow", "fast, textworld"]),
    ],
)
def test_a_mistake_is_named(name, settings, words):
    with pytest.raises(ConfigError) as raised:
        environment_config(name, settings)
    assert [word for word in words if word not in str(raised.value)] == []


def test_an_episode_ends_at_the_limit_of_steps():
    with Session(ToyEnvironment(), max_steps=2) as session:
        assert session.start(TASK, seed=0).admissible_actions == DOORS
        assert [session.step(action).done for action in (DOORS[0], "nonsense")] == [False, True]
        assert (session.steps, session.inadmissible_steps, session.score) == (2, 1, 0.0)
        with pytest.raises(EnvError, match="the episode is over"):
            session.step(DOORS[0])


def test_another_episode_starts_afresh():
    with Session(ToyEnvironment(), max_steps=5) as session:
        session.start(TASK, seed=0)
        session.step(DOORS[0])
        assert session.step(prize_door("red")).done
        assert session.score == 1.0
        session.start(TASK, seed=0)
        assert (session.steps, session.done, session.score) == (0, False, 0.0)


def test_there_is_no_step_before_the_start():
    session = Session(ToyEnvironment(), max_steps=5)
    with pytest.raises(EnvError, match="not started"):
        session.step(DOORS[0])
    with pytest.raises(EnvError, match="no episode"):
        _ = session.score


def test_equal_settings_share_an_environment():
    first, second, other = (
        SharedEnvironment.of("alfworld", settings) for settings in ({"builtin_seed": 1}, {"builtin_seed": 1}, {})
    )
    assert first is second
    assert first.environment is not other.environment
    assert (first.max_steps("train"), first.max_steps("valid_unseen")) == (20, 30)


def test_a_session_does_not_block_the_event_loop_if_it_has_threads():
    seen = []

    class Watched(ToyEnvironment):
        def open(self, task, *, seed):
            seen.append(threading.current_thread() is threading.main_thread())
            return super().open(task, seed=seed)

    async def play(threads):
        async with AsyncSession(Session(Watched(), max_steps=3), threads) as session:
            await session.start(TASK, seed=0)
            return (await session.step(DOORS[0])).observation, session.score, session.steps

    with ThreadPoolExecutor(1) as threads:
        assert asyncio.run(play(threads)) == asyncio.run(play(None))
    assert seen == [False, True]
