"""Every registered environment, in each of its variants, keeps the contract."""

import importlib.util
from collections.abc import Mapping

import pytest

from leap_exp.config.registry import settings_classes
from leap_exp.envs.contract import contract_violations
from leap_exp.envs.joint.config import InterCodeBashMember
from leap_exp.stages.recover import resume
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import RandomPolicy
from tests.support.sandboxes import skip_without_sandboxes

VARIANTS: Mapping[str, tuple[Mapping[str, object], ...]] = {
    "alfworld": ({}, {"household": "full"}, {"engine": "textworld"}),
    "joint": ({"intercode_bash": InterCodeBashMember(sandbox="bubblewrap")}, {"members": ["webshop", "alfworld"]}),
    "intercode_bash": ({"sandbox": "bubblewrap"}, {"sandbox": "bubblewrap", "quoting": "exact"}),
    "webshop": ({}, {"goals": "synthetic"}, {"observation": "text_rich"}, {"item_names": False}),
}
"""Settings, beside the defaults, that an environment is checked with."""

HELD_OUT = {"intercode_bash": "test", "joint": "test", "webshop": "test"}
"""The split to check, where it is not "valid_unseen"."""

CASES = [(name, settings) for name in settings_classes("env") for settings in VARIANTS.get(name, ({},))]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_environment_keeps_the_contract(name, settings):
    if settings.get("engine") == "textworld" and importlib.util.find_spec("textworld") is None:
        pytest.skip("alfworld is not installed")
    if "intercode_bash" in (name, *settings):
        skip_without_sandboxes()
    # A step of the reference takes a tenth of a second and more.
    effort = {"tasks": 1, "steps": 3, "oracle_steps": 30} if "engine" in settings else {"tasks": 6}
    environment = settings_classes("env")[name](**settings).build()
    assert contract_violations(environment, HELD_OUT.get(name, "valid_unseen"), **effort) == []


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_an_episode_can_be_taken_up_again_at_any_step(name, settings):
    if settings.get("engine") == "textworld" and importlib.util.find_spec("textworld") is None:
        pytest.skip("alfworld is not installed")
    if "intercode_bash" in (name, *settings):
        skip_without_sandboxes()
    environment = settings_classes("env")[name](**settings).build()
    tasks = environment.tasks("train")[: 1 if "engine" in settings else 3]
    trajectories = rollout(
        environment, RandomPolicy(), tasks, seed=5, max_steps=6, batch=3, on_progress=lambda done, total: None
    )
    for trajectory in trajectories:
        for at in (1, len(trajectory.steps) - 1):
            episode = resume(environment, trajectory, at, limit=7)
            assert episode.view().history == trajectory.steps[:at]
            assert episode.view().observation == trajectory.steps[at].observation
            episode.close()
