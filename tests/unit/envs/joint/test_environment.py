"""Joined environments: every task is that of its own environment, in its tasks, its prompts and its limits."""

import json
import threading
from dataclasses import dataclass, replace

import pytest
from hydra import compose, initialize_config_dir

from leap_exp.config.messages import run_config
from leap_exp.config.registry import conf_dir, register
from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.settings import settings
from leap_exp.core.types import views
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.joint.config import JointConfig
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.stages.correct import CorrectConfig, brief, correct, correction_metrics
from leap_exp.stages.evaluate import assess, assessment_metrics, draw_panel, summary_entry
from leap_exp.stages.rollout import apportion, rollout, sample_tasks
from leap_exp.students.config import HfStudentConfig
from leap_exp.students.scripted import ExpertPolicy, RandomPolicy
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.tokens.markup import MESSAGES_MARKUP
from leap_exp.tokens.renderer import PromptConfig, Renderer
from tests.support.toy import ToyEnvironment

TWO = ["alfworld", "webshop"]
SINGLE = {"alfworld": (AlfworldConfig(), "valid_unseen"), "webshop": (WebShopConfig(), "test")}
ADAPTER = {"r": 4, "alpha": 8, "dropout": 0.0}


@pytest.fixture(scope="module")
def joint():
    return JointConfig(members=TWO).build()


@pytest.fixture(scope="module")
def single():
    return {name: config.build() for name, (config, _) in SINGLE.items()}


@pytest.fixture(scope="module")
def wandering(joint):
    return play(joint, RandomPolicy(), joint.tasks("train")[:6], JointConfig(members=TWO).step_limits.train)


def play(environment, policy, tasks, max_steps, **how):
    return rollout(
        environment, policy, tasks, seed=0, max_steps=max_steps, batch=8, on_progress=lambda done, total: None, **how
    )


def as_alone(trajectory, split="train"):
    """The record as its own environment would have made it."""
    return replace(trajectory, task=replace(trajectory.task, environment="", split=split))


def test_its_tasks_are_those_of_its_members_in_turn(joint, single):
    tasks = joint.tasks("train")
    assert [task.environment for task in tasks[:4]] == [*TWO, *TWO]
    for name, environment in single.items():
        mine = [replace(task, environment="") for task in tasks if task.environment == name]
        assert mine == list(environment.tasks("train"))


def test_an_episode_is_the_one_that_its_environment_runs_alone(single, wandering):
    for trajectory in wandering:
        name = trajectory.task.environment
        alone = as_alone(trajectory)
        limit = SINGLE[name][0].max_steps_train
        assert play(single[name], RandomPolicy(), [alone.task], limit) == [alone]


@pytest.mark.parametrize("config", [PromptConfig(), PromptConfig(condense=True, remind=True, reasons=False)])
def test_prompts_are_those_of_the_task_s_own_environment(joint, single, wandering, config):
    renderer = Renderer(joint.prompts, MESSAGES_MARKUP, config)
    for trajectory in wandering:
        own = Renderer(single[trajectory.task.environment].prompts, MESSAGES_MARKUP, config)
        for view, alone in zip(views(trajectory), views(as_alone(trajectory)), strict=True):
            assert renderer.segments(view, first_kept=1) == own.segments(alone, first_kept=1)
            assert renderer.messages(view, first_kept=1) == own.messages(alone, first_kept=1)


def test_a_student_reads_the_tokens_that_it_reads_alone(joint, single, wandering):
    from leap_exp.students.config import AdapterConfig

    config = HfStudentConfig(
        model="tiny", format="plain", decoding="admissible", avoid_repeats=True, lora=AdapterConfig(**ADAPTER)
    )
    student = config.build(joint)
    for name, environment in single.items():
        alone = config.build(environment)
        mine = [view for trajectory in wandering if trajectory.task.environment == name for view in views(trajectory)]
        theirs = [replace(view, task=replace(view.task, environment="")) for view in mine]
        assert list(map(student.codec.prompt_ids, mine)) == list(map(alone.codec.prompt_ids, theirs))
        assert student.act(mine[:3], seed=1) == alone.act(theirs[:3], seed=1)


@pytest.mark.parametrize("disclosure", [Disclosure.NONE, Disclosure.P25, Disclosure.P100])
def test_the_teacher_says_what_the_own_environment_s_teacher_says(joint, single, wandering, disclosure):
    results = OracleTeacher(joint, seed=0).correct(wandering, [brief(joint, t.task, disclosure) for t in wandering])
    for trajectory, result in zip(wandering, results, strict=True):
        environment, alone = single[trajectory.task.environment], as_alone(trajectory)
        (own,) = OracleTeacher(environment, seed=0).correct([alone], [brief(environment, alone.task, disclosure)])
        assert replace(result, trajectory=alone) == own


def test_what_a_task_depends_on_and_its_worlds_are_what_the_own_environment_says(joint, single, wandering):
    for trajectory in wandering:
        environment, alone = single[trajectory.task.environment], as_alone(trajectory)
        assert joint.contents(trajectory.task) == environment.contents(alone.task) != {}
        view, own_view = views(trajectory)[-1], views(alone)[-1]
        worlds = joint.consistent_worlds(view, limit=8, seed=0)
        own = environment.consistent_worlds(own_view, limit=8, seed=0)
        assert (worlds is None) == (own is None) == (trajectory.task.environment == "webshop")
        if worlds is not None:
            assert (worlds.probabilities, worlds.is_exact) == (own.probabilities, own.is_exact)
            actions, own_actions = (
                [oracle.decide(seen, Disclosure.P100, seed=0) for oracle in each.oracles]
                for each, seen in ((worlds, view), (own, own_view))
            )
            assert actions == own_actions


def test_the_panel_is_that_of_each_member(joint, single):
    panel = draw_panel(joint.tasks("test"), split="test", size=5, seed=3)
    assert len(panel.tasks) == 10
    for name, environment in single.items():
        split = SINGLE[name][1]
        own = draw_panel(environment.tasks(split), split=split, size=5, seed=3)
        mine = [replace(task, environment="", split=split) for task in panel.tasks if task.environment == name]
        assert tuple(mine) == own.tasks


def test_a_panel_that_is_larger_than_a_member_s_split_names_it(joint):
    with pytest.raises(DataError, match=r"only 120 tasks of alfworld.*raise env\.alfworld\.builtin_counts"):
        draw_panel(joint.tasks("test"), split="test", size=121, seed=0, advice=joint.more_tasks("test"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [6, 6]),
        ({"shares": {"alfworld": 3, "webshop": 1}}, [9, 3]),
        ({"shares": {"alfworld": 0.0, "webshop": 0.2}}, [0, 12]),
        # 1,200 built-in games beside 1,500 goals to train on.
        ({"temperature": 1.0}, None),
    ],
)
def test_tasks_are_drawn_by_share(changes, expected):
    environment = JointConfig(members=TWO, **changes).build()
    tasks = environment.tasks("train")
    drawn = sample_tasks(tasks, 12, seed=4, shares=environment.shares("train"))
    assert len({task.id for task in drawn}) == 12
    counts = [sum(task.environment == name for task in drawn) for name in TWO]
    if expected is None:
        sizes = {name: sum(task.environment == name for task in tasks) for name in TWO}
        expected = list(apportion(12, sizes).values())
    assert counts == expected
    assert drawn == sample_tasks(tasks, 12, seed=4, shares=environment.shares("train"))


def test_shares_are_rounded_to_the_number_of_tasks():
    assert apportion(64, dict.fromkeys("abc", 1 / 3)) == {"a": 22, "b": 21, "c": 21}
    assert apportion(1, {"a": 0.2, "b": 0.5, "c": 0.3}) == {"a": 0, "b": 1, "c": 0}
    assert apportion(0, {"a": 1.0}) == {"a": 0}


def test_a_run_that_needs_more_tasks_of_a_member_than_there_are_names_it(joint):
    with pytest.raises(DataError, match=r"needs 1201 tasks of alfworld, but the split has only 1200"):
        sample_tasks(joint.tasks("train"), 2402, seed=0, shares=joint.shares("train"))


def test_episodes_end_at_their_own_environment_s_limit(joint):
    config = JointConfig(members=TWO)
    assert config.step_limits.train == {"alfworld": 20, "webshop": 15}
    assert JointConfig(members=TWO, max_steps_eval=4).step_limits.evaluate == {"alfworld": 4, "webshop": 4}
    lengths = {
        each.task.environment: len(each.steps)
        for each in play(joint, Still(), joint.tasks("train")[:2], {"alfworld": 3, "webshop": 2})
    }
    assert lengths == {"alfworld": 3, "webshop": 2}


def test_a_loop_is_what_is_one_in_the_own_environment(joint, single):
    tasks = joint.tasks("train")[:2]
    # A shopper may return to a page once.
    assert [joint.max_repeats_of(task) for task in tasks] == [0, 1]
    for each in play(joint, Still(), tasks, 9, stop_when_stuck=True):
        alone = as_alone(each)
        assert play(single[each.task.environment], Still(), [alone.task], 9, stop_when_stuck=True) == [alone]


class Still(RandomPolicy):
    """Does the same thing again and again, which changes nothing."""

    def _draw(self, view, actions, seed):
        return "stay here"


def test_results_are_given_for_each_environment_and_their_mean(joint):
    tasks = joint.tasks("test")[:8]
    trajectories = play(joint, ExpertPolicy(joint), tasks, 30)
    evaluation = assess(trajectories)
    assert list(evaluation.per_environment) == TWO
    for name, result in evaluation.per_environment.items():
        assert result == assess([as_alone(each) for each in trajectories if each.task.environment == name])
    metrics = assessment_metrics("evaluate", evaluation)
    rates = [metrics[f"evaluate/success_rate/{name}"] for name in TWO]
    assert metrics["evaluate/success_rate/mean"] == pytest.approx(sum(rates) / 2)
    assert metrics["evaluate/n_count/webshop"] == 4
    assert metrics["evaluate/n_count"] == 8
    kinds = {name.removeprefix("evaluate/success_rate/") for name in metrics if name.count("/") == 3}
    assert kinds == {task.full_kind for task in tasks}
    entry = summary_entry(evaluation)
    assert entry["per_environment"]["alfworld"]["n"] == 4
    assert entry["environment_means"]["success_rate"] == metrics["evaluate/success_rate/mean"]
    json.dumps(entry)


def test_corrections_are_counted_for_each_environment(joint, wandering):
    results = correct(
        OracleTeacher(joint, seed=0),
        joint,
        None,
        wandering,
        config=CorrectConfig(max_score=1.0),
        disclosure=Disclosure.P25,
        on_progress=lambda done, total: None,
    )
    metrics = correction_metrics(results)
    assert metrics["correct/corrections_count"] == 6
    assert [metrics[f"correct/corrections_count/{name}"] for name in TWO] == [3, 3]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"members": ["alfworld", "maze"]}, "contains 'maze': choose from alfworld, webshop, intercode_bash"),
        ({"members": []}, "name each environment to join once"),
        ({"members": ["webshop", "webshop"]}, "name each environment to join once"),
        ({"members": TWO, "shares": {"alfworld": 1.0}}, "give each of alfworld, webshop a share"),
        ({"members": TWO, "shares": {"alfworld": 0.0, "webshop": 0.0}}, "one of them more than 0"),
        ({"temperature": 0.0}, "env.temperature=0.0 is not valid"),
    ],
)
def test_what_cannot_be_joined_is_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        JointConfig(**changes)


def composed(*overrides):
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return run_config(compose("config", overrides=["run_dir=there", "env=joint", *overrides])).env


def test_members_are_set_where_their_name_says():
    env = composed("env.members=[webshop,alfworld]", "env.alfworld.household=full", "env.webshop.goals=synthetic")
    assert (env.alfworld.household, env.webshop.goals) == ("full", "synthetic")
    assert list(env.member_settings) == ["webshop", "alfworld"]


@pytest.mark.parametrize(
    ("override", "split", "named"),
    [
        ("env.alfworld.task_types=[juggle]", None, r"env\.alfworld\.task_types contains 'juggle'"),
        ("env.webshop.max_steps_eval=0", None, r"env\.webshop\.max_steps_eval=0 is not valid"),
        ("env.webshop.select=many", "train", r"env\.webshop\.select='many'"),
        ("env.alfworld.games=nowhere", "train", "nowhere"),
        ("env.test_splits.alfworld=garden", "test", "Unknown split 'garden': choose one of train, valid_seen"),
        ("env.members=[alfworld]", "valid_unseen", "Unknown split 'valid_unseen': choose one of train, test"),
    ],
)
def test_an_error_names_the_setting_by_its_name_here(override, split, named):
    with pytest.raises((ConfigError, DataError), match=named):
        composed("env.members=[alfworld,webshop]", override).build().tasks(split)


def test_a_task_of_another_run_is_refused(joint, single):
    with pytest.raises(DataError, match="belongs to a run of one environment, not to one of those that are joined"):
        joint.privileged(single["alfworld"].tasks("train")[0])


class Meeting(ToyEnvironment):
    """Notes how many threads are in it at a time."""

    inside = most = 0
    lock = threading.Lock()

    def open(self, task, *, seed):
        with Meeting.lock:
            Meeting.inside += 1
            Meeting.most = max(Meeting.most, Meeting.inside)
        threading.Event().wait(0.01)
        with Meeting.lock:
            Meeting.inside -= 1
        return super().open(task, seed=seed)


class Patient(ToyEnvironment):
    parallel_steps = 4


@dataclass
class MeetingConfig(EnvironmentConfig):
    """Alone in its room."""

    def build(self):
        return Meeting()


@dataclass
class PatientConfig(EnvironmentConfig):
    """Waits for others."""

    def build(self):
        return Patient()


@dataclass
class OwnConfig(JointConfig):
    """A package's own environments, joined."""

    meeting: MeetingConfig = settings(MeetingConfig, "One.")
    patient: PatientConfig = settings(PatientConfig, "Another.")


def test_other_packages_join_theirs_and_a_member_is_entered_by_as_many_threads_as_it_allows():
    environment = OwnConfig(members=["meeting", "patient"]).build()
    assert environment.parallel_steps == 4
    tasks = [task for task in environment.tasks("train") if task.environment == "meeting"][:8]
    trajectories = play(environment, RandomPolicy(), tasks, 2)
    assert all(each.score is not None for each in trajectories)
    assert Meeting.most == 1
