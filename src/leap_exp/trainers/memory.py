"""How many tokens of a LoRA training fit a device's memory, with and without gradient checkpointing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import PretrainedConfig

if TYPE_CHECKING:
    from peft import PeftModel

MOST_TOKENS = 16_384
"""Tokens of a batch beyond which nothing gets faster: the matrices are large and launches few."""
_ENOUGH_TOKENS = 4096
"""Tokens of a batch at which large models already compute at nearly their full rate. A batch of that size without
checkpointing is faster than a larger one with it, which reads everything twice."""
_ROUND_TOKENS = 1024
_USABLE_SHARE = 0.85
"""The rest is for buffers of kernels and for what the allocator cannot use."""
_LOGIT_BYTES = 14
"""Bytes per logit: in bfloat16, as float32, their normaliser's backward pass and their gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCost:
    """Bytes that a token of a batch needs until its gradient is computed.

    Attributes:
        layer: For one layer, in bfloat16 under autocast.
        kept: For one layer with checkpointing: its input.
        layers: Number of layers.
        logits: For the logits, at the share of tokens that are scored.
    """

    layer: float
    kept: float
    layers: int
    logits: float

    @classmethod
    def of(cls, config: PretrainedConfig, *, rank: int, dropout: bool, scored_share: float) -> "TokenCost":
        """Return the cost for a model of the shape ``config`` with adapters on all linear layers.

        The numbers are the bytes per feature that the backward passes of Llama's layers keep, as a test counts them:
        of the norms and residuals, of queries and attention, of keys and values, of the gated layer, and of the
        inputs of the adapters, which dropout copies.
        """
        hidden = config.hidden_size
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or hidden // heads
        keys = (getattr(config, "num_key_value_heads", None) or heads) * head_dim
        inner = getattr(config, "intermediate_size", None) or 4 * hidden
        inner *= getattr(config, "num_experts_per_tok", None) or 1
        layer = 20 * hidden + 4 * heads * head_dim + 4 * keys + 8 * inner + 14 * rank
        if dropout:
            layer += 24 * hidden + 4 * inner
        return cls(
            layer=layer,
            kept=2 * hidden,
            layers=config.num_hidden_layers,
            logits=_LOGIT_BYTES * config.vocab_size * scored_share,
        )

    @property
    def plain(self) -> float:
        """Bytes per token without checkpointing."""
        return self.layers * self.layer + self.logits

    @property
    def checkpointed(self) -> float:
        """Bytes per token with checkpointing: the inputs of all layers, and one layer that is computed again."""
        return self.layers * self.kept + self.layer + self.logits


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How long batches are.

    Attributes:
        tokens: Tokens of a batch.
        plain: Tokens up to which a batch needs no checkpointing.
    """

    tokens: int
    plain: float = float("inf")

    def needs_checkpointing(self, tokens: int) -> bool:
        """Return whether a batch of ``tokens`` needs checkpointing."""
        return tokens > self.plain


def token_budget(cost: TokenCost, memory: float, tokens: int | None = None) -> TokenBudget:
    """Return the budget of a device.

    Args:
        cost: What a token needs.
        memory: Bytes that are free for activations.
        tokens: Tokens of a batch; None for what is fastest.
    """
    plain, checkpointed = (_rounded(_USABLE_SHARE * memory / each) for each in (cost.plain, cost.checkpointed))
    fastest = plain if plain >= _ENOUGH_TOKENS else max(plain, min(checkpointed, MOST_TOKENS // 2))
    return TokenBudget(tokens or fastest, plain)


def activation_memory(model: "PeftModel") -> float:
    """Return the bytes of GPU memory that are left for activations, once the optimizer's state is there too."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(model.device)
    # Gradients, and AdamW's two moments.
    state = sum(3 * each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return float(max(0, free - state))


def _rounded(tokens: float) -> int:
    return int(min(MOST_TOKENS, max(_ROUND_TOKENS, tokens // _ROUND_TOKENS * _ROUND_TOKENS)))
