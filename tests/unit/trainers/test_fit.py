"""Fine-tuning: the same loss however the work is cut, and a student that learns what it is taught."""

import dataclasses

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import views
from leap_exp.stages.train import is_held_out, split
from leap_exp.students.engines import in_process
from leap_exp.students.engines.exactness import Method
from leap_exp.trainers.config import SftConfig
from tests.support.records import correction
from tests.unit.students.test_hf import student

CONFIG = SftConfig(
    epochs=1,
    learning_rate=1e-2,
    batch_size=8,
    gradient_accumulation=1,
    validation_share=0.0,
    warmup_steps=0,
    max_grad_norm=1.0,
    schedule="constant_with_warmup",
)
LESSONS = [
    correction(("look",) * (1 + index % 3), ("go to desk 1",) * (1 + index % 3), name=str(index)) for index in range(8)
]


def fit(config, out, lessons=LESSONS, agent=None):
    agent = agent or student()
    metrics = config.build().fit(
        agent,
        *split(lessons, config.validation_share),
        out=out,
        seed=0,
        on_progress=lambda done, total: None,
    )
    return agent.load(out, policy_id="tiny/1"), metrics


def test_batch_of_one_accumulated_eight_times_equals_a_batch_of_eight(tmp_path):
    whole, whole_metrics = fit(CONFIG, tmp_path / "whole")
    parts, parts_metrics = fit(dataclasses.replace(CONFIG, batch_size=1, gradient_accumulation=8), tmp_path / "parts")
    assert whole_metrics["train/steps_count"] == parts_metrics["train/steps_count"] == 1
    assert parts_metrics["train/loss_last_epoch_nats"] == pytest.approx(
        whole_metrics["train/loss_last_epoch_nats"], rel=1e-4
    )
    assert parts.logprobs(LESSONS) == pytest.approx(whole.logprobs(LESSONS), abs=1e-3)
    assert parts.logprobs(LESSONS) != pytest.approx(student().logprobs(LESSONS), abs=1e-2)


def test_training_makes_the_teacher_s_actions_likelier_and_the_student_take_them(tmp_path):
    before = sum(student().logprobs(LESSONS))
    agent, metrics = fit(dataclasses.replace(CONFIG, epochs=40), tmp_path / "adapter")
    assert sum(agent.logprobs(LESSONS)) > before / 4
    assert metrics["train/loss_last_epoch_nats"] < metrics["train/loss_first_epoch_nats"] / 2
    view = dataclasses.replace(_first_view(LESSONS[0]))
    assert agent.act([view], seed=0)[0].action == "go to desk 1"


def test_fitting_twice_with_the_same_seed_gives_the_same_weights(tmp_path):
    first, _ = fit(CONFIG, tmp_path / "first")
    second, _ = fit(CONFIG, tmp_path / "second")
    assert first.logprobs(LESSONS) == second.logprobs(LESSONS)


def test_a_trained_adapter_is_continued_from_where_it_was(tmp_path):
    agent, _ = fit(dataclasses.replace(CONFIG, epochs=20), tmp_path / "first")
    out = tmp_path / "second"
    still = dataclasses.replace(CONFIG, learning_rate=1e-9)
    fit(still, out, agent=agent)
    assert agent.load(out, policy_id="tiny/2").logprobs(LESSONS) == pytest.approx(agent.logprobs(LESSONS), abs=1e-2)


def test_held_out_tasks_are_not_trained_on_and_choose_the_checkpoint(tmp_path):
    settings = dataclasses.replace(CONFIG, validation_share=0.4, epochs=2)
    held_out = [lesson for lesson in LESSONS if is_held_out(lesson.trajectory.task, 0.4)]
    assert 0 < len(held_out) < len(LESSONS)
    _, metrics = fit(settings, tmp_path / "adapter")
    assert metrics["train/rows_count"] == len(LESSONS) - len(held_out)
    assert metrics["train/validation_loss_nats"] > 0


def test_prompts_that_lost_turns_are_counted(tmp_path):
    agent = student(context_length=420)
    lessons = [correction(("look",) * 12, ("go to desk 1",) * 12)]
    _, metrics = fit(CONFIG, tmp_path / "adapter", lessons, agent)
    shortened = sum(agent.codec.first_kept(view) > 1 for view in views(lessons[0].trajectory))
    assert 0 < shortened < 12
    assert metrics["train/shortened_prompts_count"] == shortened


def test_training_with_a_sequence_per_branch_gives_the_same_student(tmp_path, monkeypatch):
    whole, whole_metrics = fit(CONFIG, tmp_path / "whole")
    monkeypatch.setattr(in_process, "_FACTS", {})
    monkeypatch.setattr(
        in_process, "find_method", lambda *_, **__: Method(packed=False, plain_head=True, one_pass=False)
    )
    agent = student()
    assert not agent.one_pass
    parts, parts_metrics = fit(CONFIG, tmp_path / "parts", agent=agent)
    for name in ("train/rows_count", "train/tokens_count", "train/steps_count"):
        assert parts_metrics[name] == whole_metrics[name]
    loss = "train/loss_last_epoch_nats"
    assert parts_metrics[loss] == pytest.approx(whole_metrics[loss], rel=1e-4)
    assert parts.logprobs(LESSONS) == pytest.approx(whole.logprobs(LESSONS), abs=1e-3)
    view = _first_view(LESSONS[0])
    assert parts.act([view], seed=0) == whole.act([view], seed=0)


def test_nothing_left_to_train_on_is_refused(tmp_path):
    settings = dataclasses.replace(CONFIG, validation_share=1.0)
    with pytest.raises(ConfigError, match=r"validation_share=1\.0"):
        fit(settings, tmp_path / "adapter")


def _first_view(lesson):
    return views(lesson.trajectory)[0]
