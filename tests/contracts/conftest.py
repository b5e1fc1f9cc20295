"""What the contract tests share: configurations by group member, and a few episodes of a real environment."""

import pytest
from hydra import compose, initialize_config_dir

from leap_exp.config.messages import run_config
from leap_exp.config.registry import conf_dir, members, register
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import RandomPolicy
from tests.support.sandboxes import sandbox_settings


def configured(*overrides: str):
    """The configuration of a small run."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return run_config(compose("config", overrides=["run_dir=there", "student=tiny", *overrides]))


@pytest.fixture(scope="session", params=members("env"))
def environment(request):
    return configured(f"env={request.param}", *sandbox_settings(request.param)).env.build()


@pytest.fixture(scope="session")
def wandering(environment):
    """Trajectories of a policy that mostly fails."""
    tasks = environment.tasks("train")[:6]
    return rollout(
        environment, RandomPolicy(), tasks, seed=0, max_steps=6, batch=6, on_progress=lambda done, total: None
    )
