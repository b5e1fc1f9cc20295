"""Vector environments: Gymnasium's own over the environments, and the native one, give the same."""

from functools import cache

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from leap_exp.core.errors import ConfigError
from leap_exp.interfaces.gymnasium.vector import GymnasiumVectorEnv
from tests.unit.interfaces.test_gymnasium import IDS, SETTINGS, skip_without_sandboxes

COUNT, STEPS = 3, 14
ACTIONS = {
    "leap/ALFWorld-v0": lambda info, rng: rng.choice(info["admissible_actions"]),
    "leap/WebShop-v0": lambda info, rng: str(rng.choice(info["admissible_actions"] or ["search[x]"])).replace(
        "<query>", "red lamp"
    ),
    "leap/InterCodeBash-v0": lambda info, rng: rng.choice(["ls", "pwd", "touch new", "cd /", "echo ü", "submit"]),
}


def make_vec(name, mode, **arguments):
    if "InterCode" in name:
        skip_without_sandboxes()
    return gymnasium.make_vec(name, COUNT, vectorization_mode=mode, **SETTINGS.get(name, {}), **arguments)


@cache
def play(name, mode):
    """What a vector environment returns for seeded random actions, through ends and horizons."""
    envs = make_vec(name, mode, max_episode_steps=5)
    generator = np.random.default_rng(4)
    texts, infos = envs.reset(seed=11)
    assert texts in envs.observation_space
    seen = [(texts, plain(infos))]
    for _ in range(STEPS):
        each = [{key: infos[key][index] for key in ("admissible_actions",)} for index in range(COUNT)]
        actions = tuple(str(ACTIONS[name](info, generator)) for info in each)
        assert actions in envs.action_space
        texts, rewards, terminations, truncations, infos = envs.step(actions)
        seen.append((texts, rewards.tolist(), terminations.tolist(), truncations.tolist(), plain(infos)))
    envs.close()
    return seen


def plain(infos):
    return {key: list(values) for key, values in sorted(infos.items())}


@pytest.mark.parametrize("name", IDS)
def test_the_native_vector_environment_returns_what_gymnasiums_do(name):
    native = play(name, None)
    assert native == play(name, "sync")
    assert any(any(step[2]) or any(step[3]) for step in native[1:])


@pytest.mark.parametrize("name", IDS)
def test_an_environment_works_in_processes(name):
    assert play(name, "async") == play(name, "sync")


def test_the_kinds_of_vector_environments():
    kinds = {None: GymnasiumVectorEnv, "sync": SyncVectorEnv, "async": AsyncVectorEnv}
    for mode, kind in kinds.items():
        envs = make_vec("leap/WebShop-v0", mode)
        assert type(envs.unwrapped) is kind
        envs.close()


def test_a_panel_is_played_in_batches():
    envs = make_vec("leap/ALFWorld-v0", None, split="valid_unseen", panel=6)
    ids = [task.id for task in envs.tasks]
    for place in (0, COUNT):
        _, infos = envs.reset(options={"task": ids[place : place + COUNT]})
        assert infos["task"].tolist() == ids[place : place + COUNT]
    _, infos = envs.reset(options={"task": ids[0]})
    assert set(infos["task"]) == {ids[0]}
    envs.close()


def test_privileged_facts_of_each_episode():
    envs = make_vec("leap/ALFWorld-v0", None, privileged_facts=True)
    _, infos = envs.reset(seed=0)
    assert [facts.task_id for facts in infos["privileged_facts"]] == infos["task"].tolist()
    envs.close()


@pytest.mark.parametrize("mode", [None, "sync"])
def test_rendering_and_seeds_per_episode(mode):
    envs = make_vec("leap/ALFWorld-v0", mode, render_mode="ansi")
    texts, _ = envs.reset(seed=[5, 5, 5])
    assert len(set(texts)) == 1
    assert envs.render() == texts
    envs.close()


def test_wrong_numbers_give_one_clear_error():
    with pytest.raises(ConfigError, match="num_envs=0"):
        gymnasium.make_vec("leap/ALFWorld-v0", 0)
    envs = make_vec("leap/ALFWorld-v0", None)
    with pytest.raises(ConfigError, match="must have one value for each of 3"):
        envs.reset(seed=[1, 2])
    envs.reset(seed=0)
    with pytest.raises(ConfigError, match="actions='look' is not valid"):
        envs.step("look")
    envs.close()
