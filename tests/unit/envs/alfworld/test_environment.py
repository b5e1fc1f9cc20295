import subprocess
import sys

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import Task
from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine.fast import FastPlay
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.engine.goal import TASK_TYPES


@pytest.fixture
def folder(tmp_path):
    """A folder of games in the official layout, written in another order."""
    for split, count in (("valid_seen", 2), ("train", 12)):
        for index in reversed(range(count)):
            target = tmp_path / split / f"task-{index % 3}" / f"trial_{index:02d}"
            target.mkdir(parents=True)
            (target / "game.tw-pddl").write_text(generate_game(split, index, seed=0, household="small"))
    return tmp_path


def make_environment(**settings):
    return AlfworldEnvironment(AlfworldConfig(**settings))


def ids(environment, split="train"):
    return [task.id for task in environment.tasks(split)]


def test_built_in_tasks_are_balanced_and_in_order():
    environment = make_environment(builtin_counts={"train": 12})
    tasks = environment.tasks("train")
    assert [task.id for task in tasks] == [f"alfworld/builtin/small/0/train/{index:05d}" for index in range(12)]
    assert sorted(task.kind for task in tasks) == sorted(2 * TASK_TYPES)
    assert not any(task.instruction.startswith("Your task") for task in tasks)


def test_another_built_in_seed_gives_other_games():
    one, other = (make_environment(builtin_seed=seed, select="0:6").tasks("train") for seed in (0, 1))
    assert [task.instruction for task in one] != [task.instruction for task in other]
    assert not {task.id for task in one} & {task.id for task in other}


def test_games_of_a_folder_are_sorted_by_id(folder):
    listed = ids(make_environment(games=str(folder)))
    assert len(listed) == 12
    assert listed == sorted(listed)
    assert listed[0] == "alfworld/train/task-0/trial_00"


def test_range_is_applied_after_task_types(folder):
    kind = "pick_two_obj_and_place"
    environment = make_environment(games=str(folder), task_types=(kind,), select="0:1")
    (task,) = environment.tasks("train")
    assert task.kind == kind


@pytest.mark.parametrize("select", ["3:5", "task-1"])
def test_select_takes_a_range_or_ids(folder, select):
    everything = ids(make_environment(games=str(folder)))
    if ":" not in select:
        select = f"{everything[4]}, {everything[3].removeprefix('alfworld/')}"
    assert ids(make_environment(games=str(folder), select=select)) == everything[3:5]


@pytest.mark.parametrize(
    ("settings", "split", "message"),
    [
        ({"engine": "warp"}, "train", "env.engine=warp.*fast, textworld"),
        ({"household": "huge"}, "train", "env.household=huge.*small, full"),
        ({"task_types": ("juggle",)}, "train", "'juggle'.*pick_and_place_simple"),
        ({"builtin_counts": {"test": 3}}, "train", "'test'.*valid_unseen"),
        ({}, "test", "'test'.*train, valid_seen, valid_unseen"),
        ({"select": "99999:"}, "train", "env.select='99999:'.*'train'"),
        ({"select": "3-5"}, "train", "'alfworld/3-5'.*0:50"),
    ],
)
def test_error_for_a_wrong_setting_lists_the_choices(settings, split, message):
    with pytest.raises(ConfigError, match=message):
        make_environment(**settings).tasks(split)


def test_error_for_missing_official_games_says_how_to_install_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match="leap data install alfworld"):
        make_environment(games="official").tasks("train")


def test_error_for_a_broken_file_names_it(folder):
    broken = folder / "train" / "task-1" / "trial_04" / "game.tw-pddl"
    broken.write_text(broken.read_text()[:5000])
    with pytest.raises(DataError, match="train/task-1/trial_04"):
        make_environment(games=str(folder)).tasks("train")


def test_task_of_another_environment_raises_an_error():
    task = Task(id="webshop/3", split="train", instruction="buy a mug", kind="goal")
    with pytest.raises(DataError, match="webshop/3"), make_environment().open(task, seed=0):
        pass


def test_winning_ends_the_episode_with_score_one():
    environment = make_environment(select="0:1")
    (task,) = environment.tasks("train")
    game = read_game(generate_game("train", 0, seed=0, household="small"))
    with environment.open(task, seed=0) as episode:
        for command in game.walkthrough:
            assert episode.score() == 0.0
            transition = episode.step(command)
        assert (transition.done, transition.reward, episode.score()) == (True, 1.0, 1.0)
        with pytest.raises(EnvError, match="over"):
            episode.step("look")


def test_leaving_the_context_closes_the_game_after_an_exception(monkeypatch):
    closed = []
    monkeypatch.setattr(FastPlay, "close", lambda play: closed.append(play))
    environment = make_environment(select="0:1")
    (task,) = environment.tasks("train")
    with pytest.raises(ZeroDivisionError), environment.open(task, seed=0):
        1 / 0  # noqa: B018
    assert len(closed) == 1


def test_fast_engine_does_not_import_textworld():
    code = (
        "import sys; from leap_exp.envs.alfworld.config import AlfworldConfig;"
        "e = AlfworldConfig(select='0:1').build(); t, = e.tasks('train'); e.open(t, seed=0).__enter__();"
        "sys.exit(any(name in sys.modules for name in ('textworld', 'alfworld', 'fast_downward', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
