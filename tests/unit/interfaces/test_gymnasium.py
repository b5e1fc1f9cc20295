"""The environments in Gymnasium: its own checker, spaces, seeds, tasks, panels, facts, horizon and errors."""

import json
import random
import subprocess
import sys

import gymnasium
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

from leap_exp.core.components import load
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import SUCCESS_SCORE, Step, View
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.interfaces.gymnasium import ENVIRONMENTS
from leap_exp.interfaces.gymnasium.env import MAX_ACTION_CHARACTERS
from leap_exp.stages.evaluate import draw_panel
from tests.support.alfworld_games import needs_archive, official_texts
from tests.support.sandboxes import skip_without_sandboxes

IDS = list(ENVIRONMENTS)
SETTINGS = {"leap/InterCodeBash-v0": {"sandbox": "bubblewrap"}}
HELD_OUT = {"leap/ALFWorld-v0": "valid_unseen"}


def make(name, **arguments):
    if "InterCode" in name:
        skip_without_sandboxes()
    return gymnasium.make(name, **SETTINGS.get(name, {}), **arguments)


def solve(env, *, seed):
    """Let the oracle play an episode; return its rewards and the last info."""
    plain = env.unwrapped
    _, info = env.reset(seed=seed)
    task = next(task for task in plain.tasks if task.id == info["task"])
    oracle, history, rewards, ended = plain.environment.oracle(task), (), [], False
    while not ended:
        view = View(task=task, history=history, observation=plain._episode.observation)
        decision = oracle.decide(view, Disclosure.P100, seed=0)
        _, reward, terminated, truncated, info = env.step(decision.action)
        history += (Step(observation=view.observation, decision=decision, reward=reward),)
        rewards.append(reward)
        ended = terminated or truncated
    return rewards, info


@pytest.mark.parametrize("name", IDS)
@pytest.mark.filterwarnings("error")
def test_gymnasiums_own_checker_passes(name):
    env = make(name, render_mode="ansi", privileged_facts=True)
    check_env(env.unwrapped)
    env.close()


def test_the_import_registers_the_environments():
    program = "import leap_exp.interfaces.gymnasium, gymnasium; print([n for n in gymnasium.registry if 'leap/' in n])"
    assert run(program) == (f"{IDS}\n", "")


def test_gymnasium_imports_the_interface_itself():
    name = "leap_exp.interfaces.gymnasium:leap/ALFWorld-v0"
    program = f"import gymnasium; print(gymnasium.make({name!r}).reset(seed=0)[1]['score'])"
    assert run(program) == ("0.0\n", "")


def test_an_import_without_gymnasium_names_the_extra():
    _, errors = run("import sys; sys.modules['gymnasium'] = None; import leap_exp.interfaces.gymnasium")
    assert errors.splitlines()[-1].endswith('pip install "leap-exp[gymnasium]".')


def run(program):
    """What a program writes to its output and to its errors."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", IDS)
def test_the_horizon_is_that_of_evaluations(name):
    config, horizon = ENVIRONMENTS[name]
    assert load(config)().max_steps_eval == horizon
    assert gymnasium.spec(name).max_episode_steps == horizon


@pytest.mark.parametrize("name", IDS)
def test_the_oracle_wins_and_the_rewards_sum_to_the_score(name):
    env = make(name, split=HELD_OUT.get(name, "test"))
    for seed in range(3):
        rewards, info = solve(env, seed=seed)
        assert info["success"]
        assert info["score"] >= SUCCESS_SCORE
        assert sum(rewards) == info["score"]
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_a_seed_gives_the_same_episode(name):
    def play():
        env = make(name)
        actions = random.Random(1)
        seen = [env.reset(seed=7)]
        for _ in range(5):
            listed = seen[-1][-1]["admissible_actions"] or ("ls", "pwd")
            seen.append(env.step(actions.choice(listed).replace("<query>", "red lamp")))
        seen.append(env.reset())
        env.close()
        return seen

    assert play() == play()


def test_other_seeds_and_later_episodes_have_other_tasks():
    env = make("leap/ALFWorld-v0")
    seeded = [env.reset(seed=seed)[1]["task"] for seed in range(8)]
    later = [env.reset()[1]["task"] for _ in range(8)]
    assert len(set(seeded)) > 4
    assert len(set(later)) > 4


@pytest.mark.parametrize("name", IDS)
def test_a_task_is_chosen_by_its_id(name):
    env = make(name)
    for task in env.unwrapped.tasks[:3]:
        text, info = env.reset(options={"task": task.id})
        assert (info["task"], info["kind"], info["instruction"]) == (task.id, task.kind, task.instruction)
        assert task.instruction.lower()[:30] in " ".join(text.split()).lower()
    env.close()


def test_a_panel_is_the_one_of_evaluations():
    env = make("leap/ALFWorld-v0", split="valid_unseen", panel=12, panel_seed=3)
    tasks = AlfworldConfig().build().tasks("valid_unseen")
    panel = draw_panel(tasks, split="valid_unseen", size=12, seed=3)
    assert env.unwrapped.panel.hash == panel.hash
    assert {env.reset(seed=seed)[1]["task"] for seed in range(40)} <= {task.id for task in panel.tasks}


def test_privileged_facts_are_only_shown_when_asked_for():
    assert "privileged_facts" not in make("leap/ALFWorld-v0").reset(seed=1)[1]
    env = make("leap/ALFWorld-v0", privileged_facts=True)
    _, info = env.reset(seed=1)
    task = next(task for task in env.unwrapped.tasks if task.id == info["task"])
    facts = AlfworldConfig().build().privileged(task)
    assert info["privileged_facts"] == facts
    assert env.step("look")[4]["privileged_facts"] == facts


def test_the_horizon_truncates():
    env = make("leap/WebShop-v0", max_episode_steps=2)
    env.reset(seed=0)
    assert env.step("search[lamp]")[2:4] == (False, False)
    assert env.step("search[lamp]")[2:4] == (False, True)


def test_a_step_needs_an_episode_and_a_text():
    env = make("leap/WebShop-v0").unwrapped
    with pytest.raises(ResetNeeded):
        env.step("search[lamp]")
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match="3 is not a text"):
        env.step(3)
    solve(env, seed=0)
    with pytest.raises(ResetNeeded):
        env.step("search[lamp]")


def test_a_long_observation_loses_its_middle(monkeypatch):
    monkeypatch.setattr("leap_exp.interfaces.gymnasium.env.MAX_CHARACTERS", 120)
    whole, _ = make("leap/ALFWorld-v0").reset(seed=0)
    monkeypatch.undo()
    assert len(whole) <= 120
    full, _ = make("leap/ALFWorld-v0").reset(seed=0)
    assert len(full) > 120
    assert full.startswith(whole.partition("\n[... ")[0])
    assert full.endswith(whole.partition(" ...]\n")[2])


WRONG = [
    ({"game": "x"}, ConfigError, "no setting 'game': did you mean games"),
    ({"max_steps_eval": 3}, ConfigError, "no setting 'max_steps_eval'"),
    ({"games": "/no/such/folder"}, DataError, "/no/such/folder does not exist"),
    ({"split": "tset"}, ConfigError, "Unknown split 'tset': choose one of train"),
    ({"select": 5}, ConfigError, "select=5 is not valid: its type must be str"),
    ({"task_types": "pick"}, ConfigError, "its type must be list"),
    ({"engine": "slow"}, ConfigError, "engine=slow is not valid: choose one of"),
    ({"panel": 0}, ConfigError, "panel=0 is not valid: the split 'train' has 1200 tasks"),
    ({"panel": 10**6}, ConfigError, "panel=1000000 is not valid"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG)
def test_wrong_arguments_give_one_clear_error(arguments, error, message):
    with pytest.raises(error, match=message):
        make("leap/ALFWorld-v0", **arguments)


def test_wrong_options_give_one_clear_error():
    env = make("leap/ALFWorld-v0", split="valid_seen")
    with pytest.raises(
        ConfigError, match="no task 'alfworld/other' among these 120: choose an id such as 'alfworld/bu"
    ):
        env.reset(options={"task": "alfworld/other"})
    with pytest.raises(ConfigError, match="options has 'index', which is unknown"):
        env.reset(options={"index": 3})


def test_an_error_for_a_render_mode_names_the_valid_ones():
    with pytest.raises(ConfigError, match="choose ansi"):
        make("leap/ALFWorld-v0", render_mode="ansi").unwrapped.spec.make(render_mode="human")


def test_equal_settings_share_an_environment():
    first, second = (make("leap/ALFWorld-v0", split=split).unwrapped for split in ("train", "valid_seen"))
    other = make("leap/ALFWorld-v0", builtin_seed=1).unwrapped
    assert first.environment is second.environment
    assert first.environment is not other.environment


def test_a_specification_survives_json():
    env = make("leap/ALFWorld-v0", split="valid_seen", panel=5)
    text = env.spec.to_json()
    assert json.loads(text)["kwargs"]["panel"] == 5
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(text))
    assert again.reset(seed=2) == env.reset(seed=2)


@needs_archive
def test_games_from_a_folder_are_played(tmp_path):
    games = list(official_texts(4))
    for name, text in games:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    split = games[0][0].split("/")[1]
    env = make("leap/ALFWorld-v0", games=tmp_path, split=split)
    assert solve(env, seed=0)[1]["success"]


@pytest.mark.parametrize("name", IDS)
def test_observations_and_actions_are_within_the_spaces(name):
    env = make(name).unwrapped
    text, info = env.reset(seed=0)
    for action in ("", "\0", "look 🜁", "🜁" * MAX_ACTION_CHARACTERS, *(info["admissible_actions"] or ("ls",))[:3]):
        assert action in env.action_space
        assert text in env.observation_space
        text, _, ended, *_ = env.step(action)
        if ended:
            text, _ = env.reset()
    env.close()


@pytest.mark.parametrize("quoting", ["original", "exact"])
def test_commands_that_no_shell_takes_are_answered(quoting):
    env = make("leap/InterCodeBash-v0", quoting=quoting).unwrapped
    env.reset(seed=0)
    for action in ("echo \0", "echo " + "x" * 200_000):
        assert env.step(action)[0] == "Malformed command"
    assert env.step("echo still here")[0].strip() == "still here"
    env.close()
