"""Every trainer: the same step however a batch is cut, budgets, and the same end after a stop in the middle."""

import dataclasses
import json
import shutil
from itertools import pairwise

import pytest
from safetensors.torch import load_file

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, PrivilegedFacts
from leap_exp.stages.train import split
from leap_exp.students.config import AdapterConfig
from leap_exp.trainers.config import DistillConfig, DpoConfig, KtoConfig, SftConfig, StagesConfig
from tests.support.records import ACTIONS, correction
from tests.unit.students.test_hf import student

SETTINGS = {
    "epochs": 1,
    "learning_rate": 1e-2,
    "batch_size": 8,
    "gradient_accumulation": 1,
    "validation_share": 0.0,
    "warmup_steps": 0,
    "max_grad_norm": 1.0,
    "schedule": "constant_with_warmup",
}
TRAINERS = {
    "sft": SftConfig(**SETTINGS),
    "dpo": DpoConfig(**SETTINGS, beta=0.5),
    "dpo with sft": DpoConfig(**SETTINGS, beta=0.5, sft_weight=0.3, steps="all"),
    "kto": KtoConfig(**SETTINGS, beta=0.5),
    "kto of all steps": KtoConfig(**SETTINGS, beta=0.5, steps="all", sft_weight=0.1),
    "distill from start": DistillConfig(**SETTINGS),
    "distill from current": DistillConfig(**SETTINGS, teacher="current", divergence="jsd", on="teacher"),
    "distill the top": DistillConfig(**SETTINGS, top_k=2, divergence="forward", clip=0.5, sft_weight=0.2),
}
EACH = pytest.mark.parametrize("name", list(TRAINERS))


def briefed(corrected, text="The mug is on desk 1."):
    facts = PrivilegedFacts(task_id=corrected.trajectory.task.id, text=text)
    return dataclasses.replace(corrected, briefing=Briefing(disclosure=Disclosure.P100, facts=facts))


LESSONS = [
    briefed(
        correction(
            tuple(ACTIONS[(index + step) % 5] for step in range(1 + index % 3)),
            tuple(ACTIONS[(index + (1, 1, 4)[step]) % 5] for step in range(1 + index % 3)),
            name=str(index),
        )
    )
    for index in range(9)
]


def fit(config, out, lessons=LESSONS, agent=None, seed=0):
    agent = agent or student()
    out.mkdir(parents=True, exist_ok=True)
    metrics = config.build().fit(
        agent, *split(lessons, config.validation_share), out=out, seed=seed, on_progress=lambda done, total: None
    )
    return agent.load(out, policy_id="tiny/1"), metrics


def steps(folder):
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


@EACH
def test_four_by_two_is_one_by_eight(name, tmp_path):
    ends = []
    for size, times in ((8, 1), (4, 2), (1, 8)):
        config = dataclasses.replace(TRAINERS[name], batch_size=size, gradient_accumulation=times)
        # A second step, because a first one of DPO and KTO has no difference from the reference.
        config = dataclasses.replace(config, epochs=2)
        agent, metrics = fit(config, tmp_path / str(size), LESSONS[:8])
        ends.append((agent.logprobs(LESSONS), [line["loss"] for line in steps(tmp_path / str(size))], metrics))
    assert ends[0][2]["train/steps_count"] == 2
    for logprobs, losses, _ in ends[1:]:
        assert losses == pytest.approx(ends[0][1], rel=1e-4)
        assert logprobs == pytest.approx(ends[0][0], abs=1e-3)
    assert ends[0][0] != pytest.approx(student().logprobs(LESSONS), abs=1e-3)


def test_a_token_budget_ends_at_the_step_that_reaches_it_and_the_learning_rate_with_it(tmp_path):
    config = dataclasses.replace(TRAINERS["sft"], batch_size=1, schedule="linear", epochs=1)
    _, whole = fit(config, tmp_path / "whole")
    budget = int(2.4 * whole["train/tokens_count"])
    _, metrics = fit(dataclasses.replace(config, max_tokens=budget), tmp_path / "budget")
    log = steps(tmp_path / "budget")
    assert log[-2]["tokens"] < budget <= log[-1]["tokens"] == metrics["train/tokens_count"]
    assert len(log) == metrics["train/steps_count"] > 2 * len(LESSONS)
    for before, line in pairwise(log):
        assert line["learning_rate"] == pytest.approx(1e-2 * (1 - before["tokens"] / budget))


def test_tokens_count_as_often_as_they_are_read(tmp_path):
    tokens = {name: fit(TRAINERS[name], tmp_path / name)[1]["train/tokens_count"] for name in TRAINERS}
    assert tokens["kto of all steps"] > 2 * tokens["sft"]  # the KL is estimated before the step
    assert tokens["distill from current"] > 2 * tokens["sft"]  # the teacher reads the briefing as well


def test_a_time_limit_ends_the_training(tmp_path):
    config = dataclasses.replace(TRAINERS["sft"], epochs=1000, batch_size=1, max_seconds=1.0)
    _, metrics = fit(config, tmp_path / "student")
    assert 1.0 <= metrics["train/duration_seconds"] < 20
    assert metrics["train/steps_count"] < 9000


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["sft", "dpo", "kto", "distill from current"])
def test_a_training_that_was_stopped_ends_like_one_that_was_not(name, tmp_path):
    config = dataclasses.replace(
        TRAINERS[name],
        epochs=3,
        batch_size=1,
        gradient_accumulation=2,
        schedule="cosine",
        warmup_steps=2,
        validation_share=0.3,
        checkpoint_steps=2,
    )
    agent = student(lora=AdapterConfig(r=4, alpha=8, dropout=0.2))
    expected, whole = fit(config, tmp_path / "whole", agent=agent)
    out = tmp_path / "stopped"
    for stop_at in (3, 3, 8):
        out.mkdir()
        with pytest.raises(Killed):
            config.build().fit(
                agent, *split(LESSONS, 0.3), out=out, seed=0, on_progress=lambda done, _, at=stop_at: stop(done, at)
            )
        shutil.rmtree(out)
    # What a process leaves that was killed while it saved.
    (tmp_path / "stopped.checkpoints" / "checkpoint-99").mkdir()
    (tmp_path / "stopped.checkpoints" / "checkpoint-99" / "trainer_state.json").write_text('{"epo')
    first = []
    out.mkdir()
    metrics = config.build().fit(
        agent, *split(LESSONS, 0.3), out=out, seed=0, on_progress=lambda done, _: first.append(done)
    )
    assert first[0] > 5
    assert weights(out) == weights(tmp_path / "whole")
    assert steps(out) == steps(tmp_path / "whole")
    assert without_seconds(metrics) == without_seconds(whole)
    assert not (tmp_path / "stopped.checkpoints").exists()
    assert agent.load(out, policy_id="1").logprobs(LESSONS) == expected.logprobs(LESSONS)


def stop(done, at):
    if done >= at:
        raise Killed


def weights(folder):
    return {name: tensor.tolist() for name, tensor in load_file(folder / "adapter_model.safetensors").items()}


def without_seconds(metrics):
    return {name: value for name, value in metrics.items() if "second" not in name}


def test_stages_train_one_after_the_other_and_a_finished_one_is_not_repeated(tmp_path):
    settings = StagesConfig(
        stages={"first": TRAINERS["sft"], "then": TRAINERS["dpo"]}, cloning=SftConfig(), validation_share=0.0
    )
    _, metrics = fit(settings, tmp_path / "both")
    assert [line["stage"] for line in steps(tmp_path / "both")] == ["first", "first", "then", "then"]
    assert metrics["train/steps_count"] == 4
    assert metrics["train/tokens_count"] == metrics["train/first/tokens_count"] + metrics["train/then/tokens_count"]
    # The second stage starts from the student of the first one, which is its reference.
    assert metrics["train/then/loss_first_epoch_nats"] == metrics["train/loss_first_epoch_nats"]
    assert steps(tmp_path / "both")[2]["loss"] == pytest.approx(0.6931, abs=1e-3)
    again = tmp_path / "again"
    again.mkdir()
    calls = []

    def stop_in_second(done, total):
        calls.append(done)
        if len(calls) == 3:
            raise Killed

    with pytest.raises(Killed):
        settings.build().fit(student(), *split(LESSONS, 0.0), out=again, seed=0, on_progress=stop_in_second)
    shutil.rmtree(again)
    fit(settings, again)
    assert weights(again) == weights(tmp_path / "both")
    assert not (tmp_path / "again.stages").exists()


def test_without_changed_steps_the_student_stays_as_it_was(tmp_path):
    same = [correction(("look", "look"), ("look", "look"), name=str(index)) for index in range(3)]
    agent, metrics = fit(TRAINERS["dpo"], tmp_path / "student", same)
    assert metrics["train/steps_count"] == 0
    assert agent.logprobs(LESSONS) == pytest.approx(student().logprobs(LESSONS), abs=1e-4)


def test_the_demonstrations_are_cloned_by_supervised_fine_tuning():
    config = dataclasses.replace(TRAINERS["dpo"], cloning=SftConfig(epochs=7.0))
    assert config.build().cloning._config.epochs == 7.0
    assert TRAINERS["sft"].build().cloning._config.epochs == 1
