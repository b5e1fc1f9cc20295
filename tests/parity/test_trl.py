"""The objectives against TRL's own losses, on the same responses as separate rows: losses and gradients."""

import copy

import pytest
import torch

from leap_exp.core.types import views
from leap_exp.students.weights import load_model, load_tokenizer
from leap_exp.tokens.scoring import batch_logits, collate, score_batch, target_logprobs
from leap_exp.tokens.spans import Role, training_rows
from leap_exp.trainers.choices import Divergence
from leap_exp.trainers.objectives import (
    BatchScores,
    DistillationObjective,
    KtoObjective,
    PreferenceObjective,
)
from tests.support.records import correction
from tests.unit.students.test_hf import student

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

CORRECTIONS = [
    correction(("look", "go to desk 1", "look"), ("go to shelf 1", "go to desk 1", "take mug 1 from desk 1"), name="a"),
    correction(("look", "look"), ("go to desk 1", "go to shelf 2"), name="b"),
]
PLAIN = {"use_cpu": True, "report_to": [], "bf16": False, "gradient_checkpointing": False}
PAIR = frozenset({Role.CHOSEN, Role.REJECTED})


def models():
    """Return a model to train and a reference that differs from it."""
    trained, reference = (load_model("tiny", dtype=torch.float32, device="cpu") for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return trained, reference


def responses(codec):
    """Return prompt, chosen and rejected ids of every changed step."""
    return [
        (codec.prompt_ids(view), codec.response_ids(decision), codec.response_ids(step.decision))
        for corrected in CORRECTIONS
        for view, decision, step, changed in zip(
            views(corrected.trajectory), corrected.decisions, corrected.trajectory.steps, corrected.changed, strict=True
        )
        if changed
    ]


def rows(codec, roles, **options):
    return [
        row
        for corrected in CORRECTIONS
        for row in training_rows(
            corrected,
            codec,
            steps=frozenset(index for index, changed in enumerate(corrected.changed) if changed),
            roles=roles,
            **options,
        )
    ]


def collated(found, pad_id):
    return collate(found, pad_id=pad_id, dtype=torch.float32)


def scores(model, batch):
    return BatchScores(batch, score_batch(model, batch))


def padded(sequences, fill):
    length = max(map(len, sequences))
    return torch.tensor([[*sequence, *[fill] * (length - len(sequence))] for sequence in sequences])


def separate(pairs, pad_id):
    """Return prompts with responses as plain rows: ids, attention mask and completion mask."""
    ids = [[*prompt, *response] for prompt, response in pairs]
    return {
        "input_ids": padded(ids, pad_id),
        "attention_mask": padded([[1] * len(row) for row in ids], 0),
        "completion_mask": padded([[0] * len(prompt) + [1] * len(response) for prompt, response in pairs], 0),
    }


def assert_same(loss, expected, model, other):
    """Check losses, and the gradients that they leave in two models of the same weights, to 1e-5."""
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.item() != 0
    for (name, parameter), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        difference = (parameter.grad - theirs.grad).norm()
        assert difference <= 1e-5 * max(theirs.grad.norm(), 1e-3), name


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        ({"beta": 0.01}, {"loss_type": ["sigmoid"]}),
        ({"beta": 0.3, "ipo": True}, {"loss_type": ["ipo"]}),
        ({"beta": 2.0, "per_token": True}, {"loss_type": ["sigmoid_norm"]}),
    ],
)
def test_dpo(settings, theirs, tmp_path):
    agent = student(decoding="free")
    model, reference = models()
    other = copy.deepcopy(model)
    config = trl.DPOConfig(
        output_dir=str(tmp_path),
        beta=settings["beta"],
        **PLAIN,
        **theirs,
    )
    trainer = trl.DPOTrainer(
        other,
        ref_model=copy.deepcopy(reference),
        args=config,
        processing_class=load_tokenizer("tiny"),
        train_dataset=datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    )
    found = responses(agent.codec)
    plain = separate(
        [*((prompt, chosen) for prompt, chosen, _ in found), *((prompt, rejected) for prompt, _, rejected in found)],
        agent.pad_id,
    )
    expected = trainer._compute_loss(other, plain, False)
    batch = collated(rows(agent.codec, PAIR), agent.pad_id)
    objective = PreferenceObjective(**settings)
    with torch.no_grad():
        before = scores(reference, batch)
    total, _ = objective(scores(model, batch), before, None)
    assert objective.units(batch) == len(found) == 4
    assert_same(total / objective.units(batch), expected, model, other)


def test_dpo_with_label_smoothing_is_the_mean_of_both_orders():
    # TRL has label smoothing in other losses only.
    agent = student(decoding="free")
    model, reference = models()
    batch = collated(rows(agent.codec, PAIR), agent.pad_id)
    with torch.no_grad():
        trained, before = scores(model, batch), scores(reference, batch)
    turned = {**batch, "pairs": batch["pairs"].flip(1)}
    plain = PreferenceObjective(beta=0.5)
    right, _ = plain(trained, before, None)
    wrong, _ = plain(BatchScores(turned, trained.logprobs_N), BatchScores(turned, before.logprobs_N), None)
    smooth, _ = PreferenceObjective(beta=0.5, label_smoothing=0.2)(trained, before, None)
    assert smooth.item() == pytest.approx(0.8 * right.item() + 0.2 * wrong.item(), rel=1e-6)


def test_kto(tmp_path):
    agent = student(decoding="free")
    model, reference = models()
    other = copy.deepcopy(model)
    config = trl.KTOConfig(
        output_dir=str(tmp_path),
        beta=0.2,
        desirable_weight=1.3,
        undesirable_weight=0.7,
        per_device_train_batch_size=2,
        **PLAIN,
    )
    trainer = trl.KTOTrainer(
        other,
        ref_model=copy.deepcopy(reference),
        args=config,
        processing_class=load_tokenizer("tiny"),
        train_dataset=datasets.Dataset.from_list(
            [{"prompt": "a", "completion": text, "label": text == "b"} for text in ("b", "c")]
        ),
    )
    codec = agent.codec
    found = responses(codec)
    examples = [(prompt, response) for prompt, chosen, rejected in found for response in (chosen, rejected)]
    foreign = CORRECTIONS[0].decisions[2]
    mismatched = separate([(prompt, codec.response_ids(foreign)) for prompt, _, _ in found], agent.pad_id)
    inputs = {
        **separate(examples, agent.pad_id),
        **{f"KL_{name}": value for name, value in mismatched.items()},
        "label": torch.tensor([True, False] * len(found)),
    }
    expected = trainer._compute_loss(other, inputs, False)
    everything = PAIR | {Role.MISMATCHED}
    batch = collated(rows(codec, everything, mismatched=dict.fromkeys(range(3), foreign)), agent.pad_id)
    objective = KtoObjective(beta=0.2, desirable_weight=1.3, undesirable_weight=0.7)
    with torch.no_grad():
        before = scores(reference, batch)
        total, count = objective.estimate([(scores(model, batch), before)])
        ahead = total / count
    assert ahead.item() == pytest.approx(trainer._metrics["eval"]["kl"][-1], rel=1e-5)
    assert ahead > 0
    total, _ = objective(scores(model, batch), before, ahead)
    assert objective.units(batch) == 8
    assert_same(total / objective.units(batch), expected, model, other)


@pytest.mark.parametrize(
    ("divergence", "beta"), [(Divergence.FORWARD, 0.0), (Divergence.REVERSE, 1.0), (Divergence.JENSEN_SHANNON, 0.3)]
)
def test_distillation(divergence, beta):
    from trl.experimental.gkd import GKDTrainer

    agent = student(decoding="free")
    model, teacher = models()
    other = copy.deepcopy(model)
    found = [(prompt, rejected) for prompt, _, rejected in responses(agent.codec)]
    plain = separate(found, agent.pad_id)
    masks = {name: plain[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        teachers = teacher(**masks).logits[:, :-1]
    labels = plain["input_ids"].masked_fill(plain["completion_mask"] == 0, -100)[:, 1:]
    expected = GKDTrainer.generalized_jsd_loss(other(**masks).logits[:, :-1], teachers, labels=labels, beta=beta)
    own = frozenset({Role.OWN})
    batch = collated(rows(agent.codec, own), agent.pad_id)
    objective = DistillationObjective(roles=own, divergence=divergence, beta=beta or 0.5)
    with torch.no_grad():
        taught = with_logits(teacher, batch)
    total, _ = objective(with_logits(model, batch), taught, None)
    assert objective.units(batch) == int(plain["completion_mask"].sum())
    assert_same(total / objective.units(batch), expected, model, other)


def with_logits(model, batch):
    logits_NV = batch_logits(model, batch)
    return BatchScores(batch, target_logprobs(logits_NV, batch["labels"], batch["options"]), logits_NV)
