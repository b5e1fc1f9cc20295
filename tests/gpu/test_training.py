"""Training on a GPU: FlexAttention's kernels, the student that comes out, and the memory that it takes."""

import dataclasses

import pytest
import torch

from leap_exp.students.weights import SHAPES
from leap_exp.tokens.block_mask import BLOCK, FLEX
from leap_exp.tokens.packing import pack
from leap_exp.tokens.scoring import collate, score_batch
from leap_exp.trainers import fit
from leap_exp.trainers.batches import use_flex_attention
from leap_exp.trainers.memory import TokenCost
from tests.support.packing import relative_difference, rows_with_branches, separate_and_packed, small_llama
from tests.unit.students.test_hf import student
from tests.unit.trainers.test_fit import CONFIG, LESSONS
from tests.unit.trainers.test_fit import fit as fit_student

pytestmark = pytest.mark.gpu
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def on_device(batch):
    return {name: value.to(DEVICE) for name, value in batch.items() if isinstance(value, torch.Tensor)}


@needs_gpu
@pytest.mark.parametrize("heads", [{}, {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 96}])
def test_flex_attention_has_the_loss_and_the_gradients_of_separate_rows(heads):
    rows = rows_with_branches(student(decoding="free").codec, count=6)
    model = small_llama(**heads).to(DEVICE)
    separate = [on_device(collate([row], pad_id=0, dtype=torch.float32)) for row in rows]
    trees = [collate([row], pad_id=0, dtype=None) for row in rows]
    packed = [on_device(pack(part, pad_id=0, multiple=BLOCK)) for part in (trees[:4], trees[4:])]

    def score(model, batch):
        model.set_attn_implementation("sdpa" if "attention_mask" in batch else FLEX)
        return score_batch(model, batch)

    (expected, expected_gradients), (found, gradients) = separate_and_packed(model, separate, packed, score)
    assert relative_difference(found, expected) < 1e-5
    joined = [torch.cat([each.flatten() for each in part.values()]) for part in (gradients, expected_gradients)]
    assert relative_difference(*joined) < 1e-5


def test_training_on_this_device_gives_the_student_of_the_processor(tmp_path, monkeypatch):
    settings = dataclasses.replace(CONFIG, batch_size=1, gradient_accumulation=8, epochs=2, validation_share=0.4)
    expected, expected_metrics = fit_student(settings, tmp_path / "processor")
    attention = []

    def set_attention(model, rows, packing):
        present(model, rows, packing)
        attention.append((packing is not None, model.get_base_model().config._attn_implementation))

    present = fit.set_attention
    monkeypatch.setattr(fit, "set_attention", set_attention)
    agent, metrics = fit_student(settings, tmp_path / "device", agent=student(device=DEVICE))
    assert attention == ([(True, FLEX)] if DEVICE == "cuda" else [(False, "eager")])
    for name in ("train/loss_first_epoch_nats", "train/loss_last_epoch_nats", "train/validation_loss_nats"):
        assert metrics[name] == pytest.approx(expected_metrics[name], rel=1e-3)
    assert agent.logprobs(LESSONS) == pytest.approx(expected.logprobs(LESSONS), abs=1e-2)


@needs_gpu
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_of_memory_holds(checkpointing):
    agent = student(model=SHAPES["135m"], device=DEVICE, dtype="bfloat16", decoding="free")
    model = agent.trainable_model().train()
    rows = rows_with_branches(agent.codec, count=20)
    batch = on_device(pack([collate([row], pad_id=0, dtype=None) for row in rows], pad_id=0, multiple=BLOCK))
    assert use_flex_attention(model, batch)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    tokens = batch["input_ids"].shape[1]
    lora = agent.config.lora
    cost = TokenCost.of(model.config, rank=lora.r, dropout=False, scored_share=len(batch["labels"]) / tokens)
    with torch.autocast("cuda", torch.bfloat16):
        score_batch(model, batch).sum().backward()
    model.zero_grad()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.autocast("cuda", torch.bfloat16):
        score_batch(model, batch).sum().backward()
    used = torch.cuda.max_memory_allocated() - before
    estimate = tokens * (cost.checkpointed if checkpointing else cost.plain)
    assert 0.5 * estimate < used < estimate / 0.85
