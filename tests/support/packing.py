"""Rows to pack, and FlexAttention without a compiler."""

import pytest
import torch
from torch.nn.attention import flex_attention as flex
from transformers import PreTrainedModel
from transformers.integrations import flex_attention as integration

from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.spans import Role, Row, training_rows
from tests.support.families import thin_model
from tests.support.records import correction


def small_llama(**changes: object) -> PreTrainedModel:
    """Return a random model whose heads FlexAttention's kernels take, for the vocabulary of the tiny student."""
    return thin_model(
        "llama", **{"vocab_size": 258, "hidden_size": 64, "head_dim": 16, "initializer_range": 0.1, **changes}
    )


def rows_with_branches(codec: PromptCodec, count: int = 4) -> list[Row]:
    """Return rows of different lengths, at each step of which the teacher decided otherwise."""
    roles = frozenset({Role.CHOSEN, Role.REJECTED})
    return [
        row
        for index in range(count)
        for row in training_rows(
            correction(("look",) * (1 + index), ("go to desk 1",) * (1 + index), name=str(index)), codec, roles=roles
        )
    ]


@pytest.fixture
def uncompiled_flex(monkeypatch):
    """FlexAttention in plain PyTorch, with the backward pass on a processor that its kernels do not have there."""

    def attend(query, key, value, training=False, **options):
        return flex.flex_attention(query, key, value, **options)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", attend)
    monkeypatch.setattr(flex, "_validate_device", lambda *_: None)


def separate_and_packed(model, separate, packed, score):
    """Return the scores and the gradients of the model's weights, first of separate rows and then packed."""
    results = []
    for batches in (separate, packed):
        model.zero_grad()
        logprobs_N = torch.cat([score(model, batch) for batch in batches])
        weights_N = torch.linspace(0.5, 1.5, len(logprobs_N), device=logprobs_N.device)
        (logprobs_N * weights_N).sum().backward()
        gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
        results.append((logprobs_N.detach(), gradients))
    return results


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())
