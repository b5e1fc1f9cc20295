import subprocess
import sys

import pytest

from leap_exp.analysis.recoverability import action_costs, action_values
from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.privilege import Control, Disclosure
from leap_exp.core.types import Task
from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine.fast import FastPlay
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.engine.goal import TASK_TYPES
from leap_exp.envs.controls import EnvironmentWithControl
from leap_exp.stages.correct import CorrectConfig, correct
from leap_exp.stages.demonstrations import imitate, with_briefings
from leap_exp.stages.evaluate import assess
from leap_exp.stages.rollout import rollout, sample_tasks
from leap_exp.students.scripted import ExpertPolicy, RandomPolicy
from leap_exp.teachers.oracle import OracleTeacher
from tests.support.toy import ToyStudent


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


def test_a_game_that_cannot_be_read_is_left_out_named_and_counted(folder, caplog):
    broken = folder / "train" / "task-1" / "trial_04" / "game.tw-pddl"
    broken.write_text(broken.read_text()[:5000])
    (folder / "train" / "task-2" / "trial_05" / "game.tw-pddl").write_bytes(b"\xff\xfe{")
    assert len(ids(make_environment(games=str(folder)))) == 10
    assert "2 of the 12 games of the split train cannot be read" in caplog.text
    assert "train/task-1/trial_04" in caplog.text


def test_a_split_without_any_readable_game_is_an_error_that_names_one(folder):
    for path in (folder / "train").rglob("game.tw-pddl"):
        path.write_text("{}")
    with pytest.raises(DataError, match="train/task-0/trial_00"):
        make_environment(games=str(folder)).tasks("train")


def test_the_parent_of_the_release_s_folder_works_like_that_folder(folder, tmp_path):
    parent = tmp_path / "data"
    parent.mkdir()
    (parent / "json_2.1.1").symlink_to(folder)
    assert ids(make_environment(games=str(parent))) == ids(make_environment(games=str(folder)))


@pytest.mark.parametrize("named", [".", "games/train", "games/train/task-1"])
def test_the_error_for_another_folder_names_the_right_one(folder, tmp_path_factory, named):
    outer = tmp_path_factory.mktemp("outer")
    (folder / "train").rename(outer / "train")
    (outer / "games").mkdir()
    (outer / "train").rename(outer / "games" / "train")
    with pytest.raises(ConfigError, match=rf"no split 'train', but {outer}/games has") as error:
        make_environment(games=str(outer / named)).tasks("train")
    assert len(str(error.value)) < 500


def human_game(index):
    """A game whose task sentence a person wrote."""
    text = generate_game("train", index, seed=0, household="small")
    sentence = read_game(text).instruction
    assert text.count(sentence) == 1
    return text.replace(sentence, "Put the chilled tomato in the microwave.")


@pytest.fixture
def human_folder(folder):
    """Games of which one has a task sentence that a person wrote."""
    (folder / "train" / "task-0" / "trial_00" / "game.tw-pddl").write_text(human_game(0))
    return folder


def test_a_task_sentence_that_a_person_wrote_is_named_when_the_run_starts(human_folder, caplog):
    tasks = make_environment(games=str(human_folder)).tasks("train")
    assert len(tasks) == 12
    assert "cannot read the task sentence of 1 of the 12 games of the split train" in caplog.text
    assert "trial_00: 'Put the chilled tomato in the microwave.'" in caplog.text


def test_without_such_sentences_nothing_is_logged(folder, caplog):
    make_environment(games=str(folder)).tasks("train")
    assert caplog.text == ""


def test_the_expert_skips_such_a_game_and_its_correction_fails_but_it_is_played(human_folder):
    environment = make_environment(games=str(human_folder))
    tasks = environment.tasks("train")[:3]

    def played(policy):
        return rollout(environment, policy, tasks, seed=0, max_steps=40, batch=3, on_progress=lambda *_: None)

    demonstrations = played(ExpertPolicy(environment))
    assert [demonstration.score for demonstration in demonstrations] == [None, 1.0, 1.0]
    assert "Cannot parse the task sentence 'Put the chilled tomato" in demonstrations[0].error
    assert assess(demonstrations).unscored == 1
    assert len(imitate(demonstrations)) == 2
    wandering = played(RandomPolicy())
    assert wandering[0].score is not None
    results = correct(
        OracleTeacher(environment, seed=0), environment, ToyStudent({}), wandering[:1],
        config=CorrectConfig(max_score=1.0), disclosure=Disclosure.P50, on_progress=lambda *_: None,
    )  # fmt: skip
    assert "Cannot parse the task sentence" in results[0].error


def demonstrated(environment):
    tasks = sample_tasks(environment.tasks("train"), 12, seed=0)
    expert = ExpertPolicy(environment)
    return imitate(rollout(environment, expert, tasks, seed=0, max_steps=40, batch=12, on_progress=lambda *_: None))


def wasted_steps(environment, corrections):
    """Return what the demonstrations, and what is cloned from them, cost beyond a shortest plan."""
    shown, cloned = 0.0, 0.0
    for each in corrections:
        values = action_values(environment, each.trajectory)
        for of, step, decision in zip(map(action_costs, values), each.trajectory.steps, each.decisions, strict=True):
            shown += of[step.action]
            cloned += of[decision.action]
    return shown, cloned


def test_a_demonstration_with_facts_in_its_prompt_acts_on_them():
    environment = make_environment()
    plain = demonstrated(environment)
    mixed = with_briefings(plain, environment, Disclosure.P100, share=0.5, seed=0)
    briefed = [each for each in mixed if each.briefed]
    assert 0 < len(briefed) < len(plain)
    assert all(each.briefing.facts is not None and not any(each.changed) for each in briefed)
    assert [each for each in mixed if not each.briefed] == [
        each for each, now in zip(plain, mixed, strict=True) if not now.briefed
    ]
    shown, cloned = wasted_steps(environment, briefed)
    assert cloned == 0 < shown


def test_a_demonstration_with_wrong_facts_in_its_prompt_acts_on_these():
    environment = EnvironmentWithControl(make_environment(), Control.WRONG, disclosure=Disclosure.P100, seed=0)
    mixed = with_briefings(demonstrated(environment), environment, Disclosure.P100, share=1.0, seed=0)
    assert all(each.briefed and each.briefing.facts.data["control"] == "wrong" for each in mixed)
    assert wasted_steps(environment, mixed)[1] > 0


def test_white_space_around_a_command_does_not_make_it_inadmissible():
    environment = make_environment(select="0:1")
    (task,) = environment.tasks("train")
    with environment.open(task, seed=0) as episode:
        assert episode.step("  look ").listed_as == "look"
        assert episode.step("look").listed_as == ""
        assert episode.step("LOOK").listed_as == ""


def test_too_few_built_in_games_are_an_error_that_names_the_setting():
    environment = make_environment(builtin_counts={"train": 6})
    with pytest.raises(DataError, match=r"7 tasks.*only 6.*env\.builtin_counts\.train"):
        sample_tasks(environment.tasks("train"), 7, seed=0, advice=environment.more_tasks("train"))


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
