"""What every registered student must do; models whose weights are not at hand are left out.

Those behind a server have one that stands in for it here, and those that vLLM serves are the tiny model there.
"""

import math
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from leap_exp.config.registry import members
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import views
from leap_exp.stages.demonstrations import imitate
from leap_exp.stages.rollout import rollout
from leap_exp.students.config import ApiStudentConfig, HfStudentConfig, StudentConfig, VllmStudentConfig
from leap_exp.students.scripted import OraclePolicy
from tests.contracts.conftest import configured
from tests.support.fault_server import answer, fault_server
from tests.support.vllm_server import vllm_server

NEEDED = {"hf": ["student.model=tiny"]}
"""Settings without a default."""

CONFIGS = {
    name: configured(f"student={name}", "rounds=0", *NEEDED.get(name, [])).student for name in members("student")
}


def is_at_hand(config: StudentConfig) -> bool:
    return not isinstance(config, HfStudentConfig) or isinstance(config, VllmStudentConfig) or config.model == "tiny"


AT_HAND = [name for name, config in CONFIGS.items() if is_at_hand(config)]
TRAINABLE = [name for name in AT_HAND if CONFIGS[name].trainable]


@contextmanager
def served(config: StudentConfig):
    """``config`` with a server that answers; what that is asked does not outlast the test."""
    if isinstance(config, ApiStudentConfig):
        with fault_server(lambda body: answer(f"REASON: Why not.\nACTION: look {len(body['messages'])}")) as server:
            yield replace(config, endpoint=replace(config.endpoint, base_url=server.url, key_variable=None))
    elif isinstance(config, VllmStudentConfig):
        short = {"format": "plain", "reasons": False, "list_actions": False, "max_new_tokens": 8}
        with vllm_server("tiny") as server:
            endpoint = replace(config.endpoint, base_url=server.url, model="tiny")
            tiny = {"model": "tiny", "dtype": "float32", "lora": CONFIGS["tiny"].lora, "endpoint": endpoint}
            yield replace(config, **tiny, **short)
    else:
        yield config


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds the student of a name, with a cache of its own."""
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    with ExitStack() as running:
        yield lambda name, environment: running.enter_context(served(CONFIGS[name])).build(environment)


@pytest.fixture(params=AT_HAND)
def student(request, environment, build):
    return build(request.param, environment)


def test_a_decision_depends_on_view_and_seed_and_not_on_the_batch(student, wandering):
    batch = [views(trajectory)[index % 3] for index, trajectory in enumerate(wandering)]
    together = student.act(batch, seed=3)
    assert len(together) == len(batch)
    assert list(together) == [student.act([view], seed=3)[0] for view in batch]
    assert list(together) == list(student.act(batch, seed=3))
    assert student.id


def test_it_gets_through_whole_episodes(student, environment):
    tasks = environment.tasks("train")[:3]
    trajectories = rollout(
        environment, student, tasks, seed=0, max_steps=4, batch=2, on_progress=lambda done, total: None
    )
    assert all(trajectory.score is not None and trajectory.steps for trajectory in trajectories)


@pytest.mark.parametrize("name", TRAINABLE)
def test_what_can_be_trained_is_trained_saved_and_loaded(name, environment, build, tmp_path):
    config = configured("trainer.validation_share=0", "trainer.epochs=4", "trainer.warmup_steps=0")
    student, trainer = build(name, environment), config.trainer.build()
    tasks = environment.tasks("train")[:2]
    expert = OraclePolicy(environment, Disclosure.NONE)
    lessons = imitate(
        rollout(environment, expert, tasks, seed=0, max_steps=20, batch=2, on_progress=lambda done, total: None)
    )
    out, seen = tmp_path / "out", []
    out.mkdir()
    metrics = trainer.fit(
        student, lessons, [], out=out, seed=0, on_progress=lambda done, total: seen.append((done, total))
    )
    assert all(metric.startswith("train/") for metric in metrics)
    assert seen[-1][0] == seen[-1][1] > 0
    trained = student.load(out, policy_id="trained")
    assert trained.id == "trained"
    before, after = student.logprobs(lessons), trained.logprobs(lessons)
    assert len(before) == len(after) == sum(len(lesson.decisions) for lesson in lessons)
    assert all(math.isfinite(value) and value <= 0 for value in (*before, *after))
    assert sum(after) > sum(before)
