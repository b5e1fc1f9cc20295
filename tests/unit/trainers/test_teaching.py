"""Which model a student is distilled from."""

import dataclasses
import json

import pytest
import torch

from leap_exp.core.errors import ConfigError
from leap_exp.students.engines import in_process
from leap_exp.students.engines.exactness import Method
from leap_exp.tokens.scoring import collate, score_batch
from leap_exp.tokens.spans import Role, training_rows
from leap_exp.trainers.choices import TeacherModel
from leap_exp.trainers.config import DistillConfig
from leap_exp.trainers.teaching import Teaching
from tests.unit.students.test_hf import student
from tests.unit.trainers.test_objectives_in_training import LESSONS, SETTINGS, TRAINERS, fit, steps


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """A student as it is, and after one and two rounds."""
    folder = tmp_path_factory.mktemp("students")
    first, _ = fit(TRAINERS["sft"], folder / "0")
    second, _ = fit(TRAINERS["sft"], folder / "1", agent=first, seed=1)
    return student(), first, second


def logprobs(model):
    rows = [row for lesson in LESSONS for row in training_rows(lesson, student().codec, roles=frozenset({Role.OWN}))]
    with torch.no_grad():
        return score_batch(model, collate(rows, pad_id=1, dtype=torch.float32)).tolist()


@pytest.mark.parametrize("kind", [TeacherModel.START, TeacherModel.ROUND_0, TeacherModel.EMA])
def test_the_teacher_model_is_that_of_the_round(kind, students):
    base, first, second = students
    teaching = Teaching(kind=kind, decay=0.25)
    for index, trained in enumerate((first, second)):
        teaching = teaching.for_student(trained, round_index=index)
    expected = {
        TeacherModel.START: base,
        TeacherModel.ROUND_0: first,
        TeacherModel.EMA: first.averaged([first, second], [0.25, 0.75], policy_id="mean"),
    }[kind]
    found = logprobs(teaching.model(base))
    assert found == pytest.approx(logprobs(expected.frozen_model()), abs=1e-5)
    assert found != pytest.approx(logprobs(second.frozen_model()), abs=1e-3)


def test_a_teacher_model_of_round_0_needs_that_round():
    with pytest.raises(ConfigError, match=r"trainer\.teacher=round0"):
        Teaching(kind=TeacherModel.ROUND_0).model(student())


def test_another_model_teaches_if_it_has_the_same_vocabulary(tmp_path, students):
    _, first, _ = students
    teaching = Teaching(kind=TeacherModel.OTHER, other="tiny")
    assert logprobs(teaching.model(first)) == logprobs(student().frozen_model())
    model = first.frozen_model()
    first.tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ConfigError, match="another vocabulary"):
        Teaching(kind=TeacherModel.OTHER, other=str(tmp_path)).model(first)


def test_distillation_brings_the_student_near_the_teacher_that_reads_the_briefing(tmp_path):
    config = dataclasses.replace(TRAINERS["distill from start"], epochs=30, learning_rate=3e-3)
    fit(config, tmp_path / "student")
    losses = [line["loss"] for line in steps(tmp_path / "student")]
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("name", ["dpo with sft", "kto", "distill from current"])
def test_with_a_sequence_per_branch_the_losses_are_the_same(name, tmp_path, monkeypatch):
    config = dataclasses.replace(TRAINERS[name], epochs=2)
    fit(config, tmp_path / "whole")
    monkeypatch.setattr(in_process, "_FACTS", {})
    monkeypatch.setattr(
        in_process, "find_method", lambda *_, **__: Method(packed=False, plain_head=True, one_pass=False)
    )
    fit(config, tmp_path / "parts", agent=student())
    for whole, parts in zip(steps(tmp_path / "whole"), steps(tmp_path / "parts"), strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-4)
        assert parts["tokens"] == whole["tokens"]


def test_free_and_restricted_tokens_can_be_in_one_response(tmp_path):
    agent = student(reasons=True)
    lessons = [
        dataclasses.replace(
            lesson, decisions=tuple(dataclasses.replace(each, reason="Mugs.") for each in lesson.decisions)
        )
        for lesson in LESSONS[:3]
    ]
    _, metrics = fit(DistillConfig(**SETTINGS, top_k=4), tmp_path / "student", lessons, agent)
    assert 0 < metrics["train/loss_last_epoch_nats"] < 20
