"""Objectives computed by hand."""

import math

import pytest
import torch

from leap_exp.tokens.scoring import IGNORED, ROLES
from leap_exp.tokens.spans import Role
from leap_exp.trainers.choices import Divergence
from leap_exp.trainers.divergence import distributions, divergence
from leap_exp.trainers.objectives import (
    BatchScores,
    DistillationObjective,
    KtoObjective,
    PreferenceObjective,
    SupervisedObjective,
)


def scores(spans, *, pairs=(), logits=None, options=None):
    """Return the scores of spans, given as (role, log-probabilities of its tokens)."""
    logprobs = [value for _, values in spans for value in values]
    batch = {
        "labels": torch.zeros(len(logprobs), dtype=torch.long),
        "weights": torch.ones(len(logprobs)),
        "spans": torch.tensor([index for index, (_, values) in enumerate(spans) for _ in values]),
        "roles": torch.tensor([ROLES.index(role) for role, _ in spans]),
        "pairs": torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
        "options": torch.full((len(logprobs), 1), IGNORED) if options is None else options,
    }
    return BatchScores(batch, torch.tensor(logprobs), logits)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


TRAINED = scores([(Role.CHOSEN, [-1.0, -2.0]), (Role.REJECTED, [-1.0])], pairs=[(0, 1)])
REFERENCE = scores([(Role.CHOSEN, [-1.5, -2.0]), (Role.REJECTED, [-0.5])], pairs=[(0, 1)])


def test_supervised_loss_is_that_of_the_chosen_tokens_alone():
    objective = SupervisedObjective()
    loss, _ = objective(TRAINED, None, None)
    assert (loss.item(), objective.units(TRAINED.batch).item()) == (3.0, 2)


def test_preference_loss():
    # The log-ratios are 0.5 and -0.5, so the margin is 1.
    loss, metrics = PreferenceObjective(beta=0.5)(TRAINED, REFERENCE, None)
    assert loss.item() == pytest.approx(-math.log(sigmoid(0.5)))
    assert (metrics["margin_nats"].item(), metrics["accuracy_share"].item()) == (1.0, 1.0)
    per_token, _ = PreferenceObjective(beta=2.0, per_token=True)(TRAINED, REFERENCE, None)
    assert per_token.item() == pytest.approx(-math.log(sigmoid(2.0 * (0.25 + 0.5))))
    squared, _ = PreferenceObjective(beta=0.5, ipo=True)(TRAINED, REFERENCE, None)
    assert squared.item() == pytest.approx((0.75 - 1) ** 2)


def test_kto_loss():
    foreign = (Role.MISMATCHED, [-0.3])
    trained = scores([(Role.CHOSEN, [-1.0]), (Role.REJECTED, [-1.0]), foreign])
    reference = scores([(Role.CHOSEN, [-1.5]), (Role.REJECTED, [-0.5]), (Role.MISMATCHED, [-0.5])])
    objective = KtoObjective(beta=1.0, desirable_weight=2.0, undesirable_weight=3.0)
    assert objective.estimate([(trained, reference)]).tolist() == pytest.approx([0.2, 1.0])
    loss, _ = objective(trained, reference, torch.tensor(0.2))
    assert loss.item() == pytest.approx(2 * (1 - sigmoid(0.5 - 0.2)) + 3 * (1 - sigmoid(0.2 + 0.5)))
    assert objective.units(trained.batch).item() == 2
    below, _ = objective(trained, reference, torch.tensor(-0.2))
    assert below.item() == pytest.approx(2 * (1 - sigmoid(0.5)) + 3 * (1 - sigmoid(0.5)))


P, Q = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.25, 0.25, 0.5]])


def by_hand(first, second):
    return sum(a * math.log(a / b) for a, b in zip(first[0].tolist(), second[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Divergence.FORWARD, by_hand(Q, P)),
        (Divergence.REVERSE, by_hand(P, Q)),
        (
            Divergence.JENSEN_SHANNON,
            0.3 * by_hand(Q, 0.7 * P + 0.3 * Q) + 0.7 * by_hand(P, 0.7 * P + 0.3 * Q),
        ),
    ],
)
def test_divergences(kind, expected):
    assert divergence(P.log(), Q.log(), kind, beta=0.3).item() == pytest.approx(expected, rel=1e-5)
    assert divergence(P.log(), P.log(), kind).item() == pytest.approx(0.0, abs=1e-6)


def test_the_top_tokens_of_the_teacher_are_compared_and_the_rest_as_one():
    student, teacher = distributions(P.log(), Q.log(), torch.full((1, 1), IGNORED), top_k=1)
    assert student.exp().tolist()[0] == pytest.approx([0.2, 0.8])
    assert teacher.exp().tolist()[0] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("kind", Divergence)
def test_only_options_count_where_there_are_some(kind):
    options = torch.tensor([[0, 2, IGNORED], [IGNORED] * 3])
    logits = torch.cat([P, P]).log().requires_grad_()
    student, teacher = distributions(logits, torch.cat([Q, Q]).log(), options, top_k=None)
    narrow = (torch.tensor([[5 / 7, 2 / 7]]), torch.tensor([[1 / 3, 2 / 3]]))
    expected = [divergence(narrow[0].log(), narrow[1].log(), kind), divergence(P.log(), Q.log(), kind)]
    losses = divergence(student, teacher, kind)
    assert losses.tolist() == pytest.approx([value.item() for value in expected], rel=1e-5)
    losses.sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 1] == 0
    alone, _ = distributions(P.log(), Q.log(), options[:1], top_k=None)
    assert alone.exp()[0, :2].tolist() == pytest.approx([5 / 7, 2 / 7])


def test_a_divergence_counts_up_to_the_clip():
    trained = scores([(Role.OWN, [0.0])], logits=P.log())
    other = scores([(Role.OWN, [0.0])], logits=Q.log())
    role = frozenset({Role.OWN})
    clipped, _ = DistillationObjective(roles=role, divergence=Divergence.REVERSE, clip=0.1)(trained, other, None)
    whole, _ = DistillationObjective(roles=role, divergence=Divergence.REVERSE)(trained, other, None)
    assert (clipped.item(), whole.item() > 0.1) == (pytest.approx(0.1), True)
