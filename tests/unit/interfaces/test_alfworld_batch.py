"""The drop-in for alfworld's batch environment, without alfworld."""

import json
import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.library import open_library
from leap_exp.interfaces import alfworld_game
from leap_exp.interfaces.alfworld_batch import (
    TASK_TYPES,
    AlfredDemangler,
    AlfredExpert,
    AlfredInfos,
    AlfredTWEnv,
    get_environment,
)
from leap_exp.interfaces.alfworld_check import configuration, write_games

GAMES = 6
"""One game of each task type."""


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    folder = tmp_path_factory.mktemp("games")
    counts = {"train": GAMES, "valid_seen": 0, "valid_unseen": 0}
    write_games(open_library(AlfworldConfig(builtin_counts=counts)), folder, limit=None)
    return folder


def _environment(games, *, expert="planner", steps=50, train_eval="train", batch_size=1, **changes):
    config = configuration(games, expert=expert, steps=steps)
    for name, value in changes.items():
        section, _, key = name.partition("__")
        config[section][key] = value
    return get_environment("AlfredTWEnv")(config, train_eval=train_eval).init_env(batch_size)


def _walkthrough(file):
    return json.loads(Path(file).read_text())["walkthrough"]


def _order(environment, count):
    return [environment.reset()[1]["extra.gamefile"][0] for _ in range(count)]


def test_a_walkthrough_wins_and_the_game_then_stays_as_it_is(games):
    environment = _environment(games, train_eval="eval_in_distribution")
    observations, infos = environment.reset()
    assert observations[0].startswith("-= Welcome to TextWorld, ALFRED! =-")
    assert set(infos) == {"won", "admissible_commands", "extra.gamefile"}
    for command in _walkthrough(infos["extra.gamefile"][0]):
        assert command in infos["admissible_commands"][0]
        observations, scores, dones, infos = environment.step([command])
    assert (scores, dones, infos["won"]) == ((1,), (True,), [True])
    assert environment.step(["look"]) == (observations, scores, dones, infos)


@pytest.mark.parametrize("scripted", [False, True], ids=["planner", "own expert"])
def test_plans_of_the_expert_win(games, scripted, monkeypatch):
    monkeypatch.setattr(alfworld_game, "_has_alfworld", lambda: False)
    environment = _environment(games, expert="handcoded" if scripted else "planner", batch_size=GAMES)
    _, infos = environment.reset()
    dones = [False] * GAMES
    for _ in range(50):
        if all(dones):
            break
        commands = [plan[0] if plan else "look" for plan in infos["extra.expert_plan"]]
        _, _, dones, infos = environment.step(commands)
    assert infos["won"] == [True] * GAMES


def test_without_alfworld_a_warning_names_the_expert(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "alfworld.agents.expert", None)
    alfworld_game._has_alfworld.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert not alfworld_game._has_alfworld()
        assert "leap_exp's own expert" in caplog.text
    finally:
        alfworld_game._has_alfworld.cache_clear()


def test_the_order_of_games_depends_on_the_seed_alone(games):
    first, second = _environment(games), _environment(games)
    for environment in (first, second):
        environment.seed(7)
    order = _order(first, 2 * GAMES)
    assert _order(second, 2 * GAMES) == order
    assert sorted(order[:GAMES]) == sorted(order[GAMES:])
    assert len(set(order)) == GAMES
    second.seed(7)
    second.skip(2)
    assert _order(second, 3) == order[2:5]


def test_a_game_ends_at_the_limit_of_steps(games):
    environment = _environment(games, steps=3)
    environment.reset()
    assert [environment.step(["look"])[2][0] for _ in range(3)] == [False, False, True]


def test_shuffled_names_are_numbers_in_another_order(games):
    random.seed(0)
    openings, commands = [], []
    for shuffle in (False, True):
        environment = _environment(games, env__task_types=[6], env__domain_randomization=shuffle)
        starts = [environment.reset() for _ in range(8)]
        openings.append({observations[0] for observations, _ in starts})
        commands.append({tuple(infos["admissible_commands"][0]) for _, infos in starts})
    assert len(openings[0]) == 1
    assert len(openings[1]) > 1
    assert commands[0] == commands[1]


def test_task_types_and_numbers_of_games_are_chosen(games):
    config = configuration(games, expert="planner", steps=5)
    for number, name in TASK_TYPES.items():
        config["env"]["task_types"] = [number]
        (file,) = AlfredTWEnv(config).game_files
        assert json.loads(Path(file).with_name("traj_data.json").read_text())["task_type"] == name
    config["env"]["task_types"] = list(TASK_TYPES)
    config["dataset"]["num_train_games"] = 2
    assert AlfredTWEnv(config).num_games == 2


def test_games_without_a_trajectory_file_are_played(games, tmp_path):
    (file,) = AlfredTWEnv(configuration(games, expert="planner", steps=5) | {"env": _env([2])}).game_files
    place = tmp_path / "any"
    place.mkdir()
    (place / "game.tw-pddl").write_text(Path(file).read_text())
    config = configuration(tmp_path, expert="planner", steps=5)
    assert AlfredTWEnv(config | {"env": _env([2])}).num_games == 1
    with pytest.raises(DataError, match="no solvable game"):
        AlfredTWEnv(config | {"env": _env([1])})


def _env(task_types):
    return {"task_types": task_types, "goal_desc_human_anns_prob": 0, "domain_randomization": False}


def test_the_data_folder_may_be_a_variable(games, monkeypatch):
    monkeypatch.setenv("ALFWORLD_DATA", str(games))
    for path in ("$ALFWORLD_DATA", "${ALFWORLD_DATA}/"):
        assert _environment(games, dataset__data_path=path).gamefiles[0].startswith(str(games))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_eval": "test"}, "train_eval='test'"),
        ({"general__training_method": "ppo"}, "training_method='ppo'"),
        ({"expert": "oracle"}, "'oracle'"),
        ({"dataset": None}, "dataset.data_path"),
    ],
)
def test_a_wrong_configuration_is_named(games, changes, message):
    config = configuration(games, expert=changes.get("expert", "planner"), steps=5)
    if "dataset" in changes:
        del config["dataset"]
    config["general"]["training_method"] = changes.get("general__training_method", "dagger")
    with pytest.raises(ConfigError, match=message):
        AlfredTWEnv(config, changes.get("train_eval", "train")).init_env(1)


def test_a_missing_folder_and_other_environments_are_named(games, tmp_path):
    with pytest.raises(DataError, match="none"):
        AlfredTWEnv(configuration(tmp_path / "none", expert="planner", steps=5))
    with pytest.raises(ConfigError, match="AlfredThorEnv"):
        get_environment("AlfredThorEnv")


@pytest.mark.parametrize("commands", ["look", ["look"], ["look"] * 3])
def test_commands_have_to_be_one_for_each_game(games, commands):
    environment = _environment(games, batch_size=2)
    environment.reset()
    with pytest.raises(ConfigError, match="list of 2 commands"):
        environment.step(commands)


def test_a_game_can_be_played_through_its_wrappers(games):
    environment = AlfredExpert(AlfredInfos(AlfredDemangler()), expert_type="planner")
    (file,) = AlfredTWEnv(configuration(games, expert="planner", steps=5) | {"env": _env([1])}).game_files
    environment.load(file)
    state = environment.reset()
    assert state["extra.gamefile"] == file
    assert state.won is False
    assert state.unheard_of is None
    score = 0
    while not state.won:
        state, score, _ = environment.step(state["extra.expert_plan"][0])
    assert score == 1


def test_the_import_needs_neither_alfworld_nor_torch():
    code = (
        "import sys, leap_exp.interfaces.alfworld_batch as _; "
        "print([name for name in ('alfworld', 'textworld', 'torch', 'gym', 'hydra') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
