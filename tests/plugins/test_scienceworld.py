"""ScienceWorld as an environment: the same game as the package's own class, and no episode lost with a JVM."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("leap_scienceworld", reason="not installed: pip install ./plugins/leap_scienceworld")
pytest.importorskip("scienceworld", reason="not installed: pip install scienceworld")

from leap_exp.analysis.leakage import leaks
from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Decision, Step, Trajectory, View, views
from leap_exp.envs.contract import contract_violations
from leap_exp.runs import read_document, read_records
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import OraclePolicy, RandomPolicy
from leap_scienceworld.commands import _core_seconds, check
from leap_scienceworld.config import ScienceWorldConfig
from leap_scienceworld.environment import ScienceWorldEnvironment
from leap_scienceworld.original import original
from leap_scienceworld.teaching.oracle import ScienceWorldOracle

pytestmark = pytest.mark.skipif(
    shutil.which("java") is None, reason="Java is not installed: apt install default-jre-headless"
)

PLUGIN = Path(__file__).parents[2] / "plugins/leap_scienceworld"
QUICK = "find-plant,lifespan-longest-lived,chemistry-mix"
WALK = ("open door to kitchen", "go to kitchen", "look around", "open cupboard", "wait1", "pick up thermometer")


@pytest.fixture(scope="module")
def environment():
    environment = ScienceWorldEnvironment(
        ScienceWorldConfig(tasks=["boil", *QUICK.split(",")], variations=2, simulators=2)
    )
    yield environment
    environment.pool.close()


@pytest.fixture
def boil(environment):
    return environment.tasks("train")[0]


def walk(episode, actions=WALK):
    return [episode.step(action) for action in actions]


def played(environment, policy, tasks, max_steps=60):
    return rollout(
        environment, policy, tasks, seed=0, max_steps=max_steps, batch=2, on_progress=lambda done, total: None
    )


def test_it_keeps_the_contract(environment):
    assert contract_violations(environment, "dev", tasks=3, steps=6) == []


def test_splits_and_descriptions_are_those_of_the_package():
    environment = ScienceWorldEnvironment(
        ScienceWorldConfig(tasks=["melt", "use-thermometer", "grow-plant"], simulators=1)
    )
    with original() as package:
        for name in ("melt", "use-thermometer", "grow-plant"):
            package.load(name, 0)
            wanted = [package.get_variations_train(), package.get_variations_dev(), package.get_variations_test()]
            listed = [
                [task for task in environment.tasks(split) if task.kind == name] for split in environment.splits()
            ]
            assert [[environment.world(task).variation for task in tasks] for tasks in listed] == wanted
            for task in (listed[0][0], listed[1][0], listed[2][-1]):
                package.load(name, environment.world(task).variation)
                assert task.instruction == package.get_task_description()
    environment.pool.close()


def test_gold_paths_show_what_the_packages_own_class_shows():
    assert check(tasks=QUICK, variations=1) == 0


@pytest.mark.slow
def test_gold_paths_of_all_tasks_show_what_the_packages_own_class_shows():
    assert check(variations=2) == 0


def test_a_written_action_is_named_as_it_is_listed(environment, boil):
    with environment.open(boil, seed=0) as episode:
        assert "open door to kitchen" in episode.observation.admissible_actions
        step = episode.step("open kitchen door")
    assert (step.listed_as, step.observation.text) == ("open door to kitchen", "The door is now open.")


def test_a_fatal_mistake_ends_the_task_with_nothing(environment, boil):
    with environment.open(boil, seed=0) as episode:
        step = episode.step("focus on picture")
        assert (step.done, step.reward, episode.score()) == (True, -1.0, 0.0)


def test_a_killed_simulator_costs_no_episode(environment, boil):
    with environment.open(boil, seed=0) as episode:
        undisturbed = walk(episode)
    with environment.open(boil, seed=0) as episode:
        steps = walk(episode, WALK[:3])
        environment.pool.kill_all()
        steps += walk(episode, WALK[3:])
    assert steps == undisturbed
    assert undisturbed[-1].observation.text == "You move the thermometer to the inventory."


def test_a_simulator_that_hangs_is_replaced():
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=["boil"], simulators=1, seconds=20))
    with environment.open(environment.tasks("train")[0], seed=0) as episode:
        steps = walk(episode, WALK[:3])
        (hanging,) = environment.pool.pids
        os.kill(hanging, signal.SIGSTOP)
        steps += walk(episode, WALK[3:])
        assert environment.pool.pids != [hanging]
    assert steps[-1].observation.text == "You move the thermometer to the inventory."
    environment.pool.close()


def test_episodes_share_one_simulator_and_do_not_disturb_each_other(environment):
    single = ScienceWorldEnvironment(ScienceWorldConfig(tasks=["boil", *QUICK.split(",")], variations=2, simulators=1))
    tasks = single.tasks("train")[:3]
    apart = played(environment, RandomPolicy(), tasks, max_steps=4)
    assert list(played(single, RandomPolicy(), tasks, max_steps=4)) == list(apart)
    single.pool.close()


@pytest.mark.parametrize("disclosure", [Disclosure.P25, Disclosure.P50, Disclosure.P100])
def test_the_oracle_wins_and_says_what_it_may(environment, disclosure):
    tasks = [task for task in environment.tasks("dev") if task.kind != "boil"][::2]
    revealed = []
    for trajectory in played(environment, OraclePolicy(environment, disclosure), tasks):
        facts = environment.privileged(trajectory.task)
        assert trajectory.succeeded or disclosure is Disclosure.P25
        for view, step in zip(views(trajectory), trajectory.steps, strict=True):
            revealed += leaks(view, step.decision.reason, facts)
    assert bool(revealed) == (disclosure is Disclosure.P100)


def test_without_privilege_it_decides_by_the_history_alone(environment):
    def secret():
        raise AssertionError("the gold path was asked for")

    tasks = environment.tasks("train")[2:4]
    for trajectory in played(environment, RandomPolicy(), tasks, max_steps=5):
        for view, step in zip(views(trajectory), trajectory.steps, strict=True):
            for taken in (None, step.action):
                decision = ScienceWorldOracle(secret).decide(view, Disclosure.NONE, seed=0, taken=taken)
                assert view.observation.admits(decision.action)


def test_it_recovers_after_wandering(environment):
    task = next(task for task in environment.tasks("dev") if task.kind == "chemistry-mix")
    oracle = environment.oracle(task)
    wander = ["open door to art studio", "go to art studio", "look around"]
    with environment.open(task, seed=0) as episode:
        steps = ()
        for index in range(60):
            view = View(task=task, history=steps, observation=episode.observation)
            decision = (
                Decision(reason="", action=wander[index])
                if index < len(wander)
                else oracle.decide(view, Disclosure.P50, seed=0)
            )
            transition = episode.step(decision.action)
            steps += (Step(observation=view.observation, decision=decision, reward=transition.reward),)
            if transition.done:
                break
        assert episode.score() == 1.0


def test_wrong_settings_are_named(environment):
    with pytest.raises(ConfigError, match=r"'validation'.*train, dev, test"):
        environment.tasks("validation")
    with pytest.raises(ConfigError, match=r"env\.tasks=\[cook\] .*boil"):
        ScienceWorldEnvironment(ScienceWorldConfig(tasks=["cook"], simulators=1)).tasks("train")
    with pytest.raises(ConfigError, match=r"env\.simplifications=\[simple\] .*easy"):
        ScienceWorldEnvironment(ScienceWorldConfig(simplifications=["simple"], simulators=1)).tasks("train")
    easy = ScienceWorldEnvironment(ScienceWorldConfig(simplifications=["easy"], simulators=1))
    with pytest.raises(DataError, match=r"env\.simplifications=\[easy\]"):
        easy.privileged(environment.tasks("train")[0])


def test_simplifications_change_the_game():
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=["boil"], simplifications=["easy"], simulators=1))
    with environment.open(environment.tasks("train")[0], seed=0) as episode:
        actions = episode.observation.admissible_actions
    assert "teleport to kitchen" in actions
    assert not any(action.startswith("connect") for action in actions)
    environment.pool.close()


def test_without_java_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(EnvError, match="apt install default-jre-headless"):
        ScienceWorldEnvironment(ScienceWorldConfig()).prepare()


def test_a_simulator_that_cannot_start_is_an_error(monkeypatch, tmp_path):
    java = tmp_path / "bin/java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EnvError, match="HotSpot"):
        ScienceWorldEnvironment(ScienceWorldConfig()).prepare()


def test_nothing_outlives_the_environment():
    environment = ScienceWorldEnvironment(ScienceWorldConfig(tasks=["boil"], simulators=1))
    with environment.open(environment.tasks("train")[0], seed=0):
        (pid,) = environment.pool.pids
    environment.pool.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_round_by_the_command_line(tmp_path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(PLUGIN)], check=True)
    settings = [
        "env=scienceworld",
        f"env.tasks=[{QUICK}]",
        "env.variations=2",
        "env.simulators=2",
        "env.max_steps_train=20",
    ]
    command = [sys.executable, "-m", "leap_exp", *settings, "env.max_steps_eval=5", "debug=default"]
    done = subprocess.run(
        [*command, f"run_dir={tmp_path / 'here'}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rounds = read_document(tmp_path / "here/summary.json")["rounds"]
    assert [(entry["n"], entry["unscored"]) for entry in rounds] == [(2, 0), (2, 0)]
    trajectories = read_records(tmp_path / "here/round_001/trajectories.jsonl").of(Trajectory)
    assert all(trajectory.score is not None for trajectory in trajectories)


def test_processor_time_is_counted_while_threads_end():
    for _ in range(200):
        threads = [threading.Thread(target=lambda: None) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert _core_seconds() > 0
        for thread in threads:
            thread.join()
