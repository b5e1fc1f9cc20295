"""Running many conversations of different lengths at once, without padding.

The new tokens of all conversations are laid end to end in one row, so that every matrix product works on real tokens
only; attention is taken conversation by conversation, each over its own cache of keys and values. A conversation that
ends leaves nothing behind, and what a prompt shares with the last one of its conversation is not read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "leap_varlen"
_GROWTH_TOKENS = 256


class ConversationCache:
    """Tokens read so far in one conversation, with their keys and values in every layer."""

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        self._layers = config.num_hidden_layers
        self._heads = config.num_key_value_heads
        self._head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._like = torch.empty(0, dtype=model.dtype, device=model.device)
        self.keys_LHTD = self._allocate(0)
        self.values_LHTD = self._allocate(0)
        self.tokens: list[int] = []

    def keep_common_prefix(self, tokens: Sequence[int]) -> list[int]:
        """Forget what ``tokens`` does not begin with; returns the tokens that are still to be read.

        At least one token is left to read, for its hidden state is what the next decision is taken on.
        """
        common = 0
        limit = min(len(self.tokens), len(tokens) - 1)
        while common < limit and self.tokens[common] == tokens[common]:
            common += 1
        del self.tokens[common:]
        return list(tokens[common:])

    def reserve(self, length: int) -> None:
        """Make room for ``length`` tokens in all."""
        if length <= self.keys_LHTD.shape[2]:
            return
        capacity = max(length + _GROWTH_TOKENS, 2 * self.keys_LHTD.shape[2])
        for name in ("keys_LHTD", "values_LHTD"):
            old = getattr(self, name)
            new = self._allocate(capacity)
            new[:, :, : old.shape[2]] = old
            setattr(self, name, new)

    def _allocate(self, capacity: int) -> torch.Tensor:
        return self._like.new_empty(self._layers, self._heads, capacity, self._head_dim)


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Ways in which a conversation may go on that share their beginnings.

    Attributes:
        tokens: The tokens; each stands behind the one it follows.
        parents: The place of the token that each follows, or -1 for the end of the conversation.
        depths: How many tokens lie between each and the end of the conversation.
    """

    tokens: Sequence[int]
    parents: Sequence[int]
    depths: Sequence[int]

    def mask(self, past: int, device: torch.device) -> torch.Tensor:
        """Which of ``past`` tokens before it and its own tokens each one sees, (tokens, past + tokens)."""
        size = len(self.tokens)
        mask = torch.ones(size, past + size, dtype=torch.bool)
        mask[:, past:] = torch.eye(size, dtype=torch.bool)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                mask[place, past:] |= mask[parent, past:]
        return mask.to(device)


@dataclass(frozen=True, slots=True)
class _Span:
    """The place of one conversation's new tokens in the packed row."""

    cache: ConversationCache
    start: int
    stop: int
    past: int
    mask: torch.Tensor | None


def read(
    model: PreTrainedModel, caches: Sequence[ConversationCache], new_tokens: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Read ``new_tokens`` (one non-empty list a conversation) and append them to the caches.

    Args:
        model: A decoder loaded with ``attn_implementation=ATTENTION``.
        caches: One cache a conversation, all different.
        new_tokens: What each conversation goes on with.

    Returns:
        The last hidden state of each conversation, of shape (number of conversations, hidden size).
    """
    masks = [
        _causal_mask(len(tokens), len(cache.tokens), model.device)
        for cache, tokens in zip(caches, new_tokens, strict=True)
    ]
    hidden = _forward(model, caches, new_tokens, [range(len(tokens)) for tokens in new_tokens], masks)
    for cache, tokens in zip(caches, new_tokens, strict=True):
        cache.tokens.extend(tokens)
    return torch.stack([hidden_TD[-1] for hidden_TD in hidden])


def read_ahead(
    model: PreTrainedModel, caches: Sequence[ConversationCache], trees: Sequence[TokenTree]
) -> list[torch.Tensor]:
    """Read all ways in which each conversation may go on, of which none is appended to the caches.

    Returns:
        For each conversation the hidden states after the tokens of its tree (none empty), shape (tokens, hidden size).
    """
    masks = [tree.mask(len(cache.tokens), model.device) for cache, tree in zip(caches, trees, strict=True)]
    return _forward(model, caches, [tree.tokens for tree in trees], [tree.depths for tree in trees], masks)


def _forward(
    model: PreTrainedModel,
    caches: Sequence[ConversationCache],
    new_tokens: Sequence[Sequence[int]],
    offsets: Sequence[Sequence[int]],
    masks: Sequence[torch.Tensor | None],
) -> list[torch.Tensor]:
    """Hidden states (T, D) of each conversation's new tokens, at ``offsets`` from the end of what its cache holds."""
    spans: list[_Span] = []
    positions: list[int] = []
    start = 0
    for cache, tokens, places, mask in zip(caches, new_tokens, offsets, masks, strict=True):
        past = len(cache.tokens)
        cache.reserve(past + len(tokens))
        spans.append(_Span(cache, start, start + len(tokens), past, mask))
        positions.extend(past + place for place in places)
        start += len(tokens)
    ids = [token for tokens in new_tokens for token in tokens]
    with torch.inference_mode():
        hidden_NTD: torch.Tensor = model.base_model(
            input_ids=torch.tensor([ids], device=model.device),
            position_ids=torch.tensor([positions], device=model.device),
            use_cache=False,
            spans=spans,
        ).last_hidden_state
    return [hidden_NTD[0, span.start : span.stop] for span in spans]


def _causal_mask(new: int, past: int, device: torch.device) -> torch.Tensor | None:
    """Which of ``past + new`` tokens each new token sees, (new, past + new); None where it sees them all."""
    if new == 1:
        return None
    return torch.ones(new, past + new, dtype=torch.bool, device=device).tril(diagonal=past)


def _varlen_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    *,
    spans: Sequence[_Span] | None = None,
    **options: object,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of a packed row, shapes (1, heads, T, head size) in and (1, T, heads, head size) out.

    Without spans this is ordinary attention under the mask that the model was given.
    """
    if spans is None:
        ordinary: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return ordinary
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    output = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
    for span in spans:
        total = span.past + span.stop - span.start
        keys = span.cache.keys_LHTD[layer, :, :total]
        values = span.cache.values_LHTD[layer, :, :total]
        keys[:, span.past :] = key[0, :, span.start : span.stop]
        values[:, span.past :] = value[0, :, span.start : span.stop]
        attended = scaled_dot_product_attention(
            query[:, :, span.start : span.stop],
            keys[None],
            values[None],
            attn_mask=span.mask,
            scale=scaling,
            enable_gqa=True,
        )
        output[:, span.start : span.stop] = attended.transpose(1, 2)
    return output, None


def _no_mask(*_: object, **__: object) -> None:
    """Masks are made conversation by conversation."""


AttentionInterface.register(ATTENTION, _varlen_attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)
