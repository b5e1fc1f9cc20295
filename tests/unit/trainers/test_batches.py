"""Packed batches: the same loss, gradients and student as one row per trajectory, whatever the packing."""

import dataclasses
import random

import pytest
import torch

from leap_exp.tokens.block_mask import BLOCK, block_mask
from leap_exp.tokens.packing import pack
from leap_exp.tokens.scoring import IGNORED, collate, dense_mask, score_batch
from leap_exp.tokens.tree import ROOT, TokenTree
from leap_exp.trainers import batches, fit
from leap_exp.trainers.batches import split
from leap_exp.trainers.config import DistillConfig, DpoConfig, KtoConfig
from leap_exp.trainers.memory import TokenBudget
from tests.support.families import thin_model
from tests.support.packing import (
    relative_difference,
    rows_with_branches,
    separate_and_packed,
    small_llama,
    uncompiled_flex,  # noqa: F401 - a fixture
)
from tests.unit.students.test_hf import student
from tests.unit.trainers.test_fit import CONFIG, LESSONS
from tests.unit.trainers.test_fit import fit as fit_student
from tests.unit.trainers.test_objectives_in_training import briefed

STEP = dataclasses.replace(CONFIG, batch_size=1, gradient_accumulation=8)


def a_random_tree(length, seed):
    draw = random.Random(seed)
    path, parents = [], []
    for place in range(length):
        if path and draw.random() < 0.1:
            del path[-draw.randint(1, min(200, len(path))) :]
        parents.append(path[-1] if path else ROOT)
        path.append(place)
    return TokenTree(tuple(range(length)), tuple(parents))


@pytest.mark.parametrize("window", [None, 40, 300])
@pytest.mark.parametrize(("length", "seed"), [(5, 0), (128, 1), (700, 2), (1000, 3)])
def test_a_block_mask_shows_what_the_dense_mask_shows(length, seed, window):
    tree = a_random_tree(length, seed)
    ends, positions = torch.tensor([tree.ends]), torch.tensor([tree.depths])
    dense = dense_mask(ends, positions, window, torch.float32)[0, 0] == 0
    mask = block_mask(ends, positions, window)
    blocks = -(-length // BLOCK)
    places = torch.arange(length)
    exact = mask.mask_mod(torch.tensor(0), torch.tensor(0), places[:, None], places)
    shown = torch.zeros(blocks * BLOCK, blocks * BLOCK, dtype=torch.bool)
    for query in range(blocks):
        rows = slice(query * BLOCK, (query + 1) * BLOCK)
        for kind, count, indices in (
            ("part", mask.kv_num_blocks, mask.kv_indices),
            ("full", mask.full_kv_num_blocks, mask.full_kv_indices),
        ):
            for key in indices[0, 0, query, : count[0, 0, query]].tolist():
                columns = slice(key * BLOCK, (key + 1) * BLOCK)
                part = exact[rows, columns]
                shown[rows, columns][: part.shape[0], : part.shape[1]] = part if kind == "part" else True
    assert torch.equal(shown[:length, :length], dense)
    assert mask.shape == (1, 1, length, length)


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
@pytest.mark.parametrize("decoding", ["admissible", "free"])
def test_packed_rows_have_the_loss_and_the_gradients_of_separate_rows(attention, decoding, uncompiled_flex):  # noqa: F811
    check_packed_rows(small_llama(), attention, decoding)


@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
@pytest.mark.parametrize("family", ["mistral", "gemma3_text"])
def test_packed_rows_of_models_with_sliding_windows_too(attention, family, uncompiled_flex):  # noqa: F811
    model = thin_model(family, vocab_size=258, hidden_size=64, head_dim=16, initializer_range=0.1)
    check_packed_rows(model, attention, "free")


def check_packed_rows(model, attention, decoding):
    rows = rows_with_branches(student(decoding=decoding).codec)
    separate = [collate([row], pad_id=0, dtype=torch.float32) for row in rows]
    trees = [collate([row], pad_id=0, dtype=None) for row in rows]
    packed = [pack(trees[:3], pad_id=0, multiple=BLOCK), pack(trees[3:], pad_id=0)]

    def score(model, batch):
        model.set_attn_implementation("eager" if "attention_mask" in batch else attention)
        return score_batch(model, batch)

    (expected, expected_gradients), (found, gradients) = separate_and_packed(model, separate, packed, score)
    assert relative_difference(found, expected) < 1e-5
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert relative_difference(gradient, expected_gradients[name]) < 1e-5, name


def test_packing_keeps_spans_pairs_and_options_apart():
    rows = rows_with_branches(student().codec, count=3)
    whole = collate(rows, pad_id=0, dtype=torch.float32)
    packed = pack([collate([row], pad_id=0, dtype=None) for row in rows], pad_id=0)
    for name in ("labels", "options", "weights", "spans", "roles", "pairs"):
        assert torch.equal(packed[name], whole[name]), name
    tokens = [token for row in rows for token in row.tree.tokens]
    assert packed["input_ids"].tolist() == [tokens]
    assert (packed["options"] == IGNORED).any()


@pytest.mark.parametrize("seed", range(5))
def test_trees_are_split_into_the_fewest_rows_of_the_budget(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 900) for _ in range(20)]
    groups = split(lengths, budget=1000)
    assert sorted(index for group in groups for index in group) == list(range(20))
    assert all(sum(lengths[index] for index in group) <= 1000 for group in groups)
    assert len(groups) <= sum(lengths) // 1000 + 3
    assert split(lengths, budget=10**6) == [list(range(20))]


def test_a_tree_over_the_budget_has_a_row_of_its_own():
    assert split([10, 5000, 20], budget=100) == [[0, 2], [1]]


@pytest.mark.parametrize("tokens", [150, 10_000])
def test_training_in_packed_batches_gives_the_same_student(tmp_path, tokens):
    settings = dataclasses.replace(STEP, validation_share=0.4, epochs=2)
    whole, whole_metrics = fit_student(settings, tmp_path / "whole")
    packed, metrics = fit_student(dataclasses.replace(settings, tokens_per_batch=tokens), tmp_path / "packed")
    for name in ("train/steps_count", "train/tokens_count", "train/rows_count"):
        assert metrics[name] == whole_metrics[name]
    for name in ("train/loss_first_epoch_nats", "train/loss_last_epoch_nats", "train/validation_loss_nats"):
        assert metrics[name] == pytest.approx(whole_metrics[name], rel=1e-4)
    assert packed.logprobs(LESSONS) == pytest.approx(whole.logprobs(LESSONS), abs=1e-3)


@pytest.mark.parametrize("kind", [DpoConfig, KtoConfig, DistillConfig])
def test_every_objective_trains_in_packed_batches(tmp_path, kind):
    changes = {field.name: getattr(STEP, field.name) for field in dataclasses.fields(STEP)}
    settings = kind(**{**changes, "steps": "changed"})
    lessons = [briefed(lesson) for lesson in LESSONS]
    whole, whole_metrics = fit_student(settings, tmp_path / "whole", lessons)
    settings = dataclasses.replace(settings, tokens_per_batch=200)
    packed, metrics = fit_student(settings, tmp_path / "packed", lessons)
    assert metrics["train/loss_last_epoch_nats"] == pytest.approx(
        whole_metrics["train/loss_last_epoch_nats"], rel=1e-4, abs=1e-6
    )
    assert packed.logprobs(LESSONS) == pytest.approx(whole.logprobs(LESSONS), abs=1e-3)


def test_checkpointing_changes_nothing_but_memory(tmp_path, monkeypatch):
    settings = dataclasses.replace(STEP, tokens_per_batch=150)
    plain, _ = fit_student(settings, tmp_path / "plain")
    checkpointed = []

    def find(*arguments, **options):
        packing = batches.find_packing(*arguments, **options)
        return dataclasses.replace(packing, budget=TokenBudget(150, 120))

    class Watched(batches.PackedTrainer):
        def _set_checkpointing(self, model, tokens):
            super()._set_checkpointing(model, tokens)
            layers = model.get_base_model().model.layers
            checkpointed.append((tokens, {layer.gradient_checkpointing for layer in layers}))

    monkeypatch.setattr(fit, "find_packing", find)
    monkeypatch.setattr(batches, "PackedTrainer", Watched)
    student_with, _ = fit_student(settings, tmp_path / "checkpointed")
    assert {tokens > 120 for tokens, _ in checkpointed} == {True, False}
    assert all(states == {tokens > 120} for tokens, states in checkpointed)
    assert student_with.logprobs(LESSONS) == pytest.approx(plain.logprobs(LESSONS), abs=1e-4)


def test_another_attention_is_kept_where_flex_attention_cannot_be_used(monkeypatch):
    agent = student()
    model = agent.trainable_model()
    rows = rows_with_branches(agent.codec)
    batch = pack([collate([row], pad_id=0, dtype=None) for row in rows], pad_id=0)
    base = model.get_base_model()

    def fails(name):
        if name == "flex_attention":
            raise RuntimeError("no compiler")
        type(base).set_attn_implementation(base, name)

    monkeypatch.setattr(base, "set_attn_implementation", fails, raising=False)
    assert not batches.use_flex_attention(model, batch)
    assert base.config._attn_implementation == "sdpa"


def test_flex_attention_is_used_where_it_agrees(uncompiled_flex):  # noqa: F811
    agent = student()
    model = agent.trainable_model()
    batch = pack([collate([row], pad_id=0, dtype=None) for row in rows_with_branches(agent.codec)], pad_id=0)
    assert batches.use_flex_attention(model, batch)
    assert model.get_base_model().config._attn_implementation == "flex_attention"
