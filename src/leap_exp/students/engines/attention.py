"""Attention over many conversations of different lengths at once, without padding.

The new tokens of all conversations form one row, so that every matrix product works on real tokens only. Attention is
computed conversation by conversation, each over its own cache of keys and values. Finished conversations leave nothing
behind, and what a prompt shares with the previous one of its conversation is not computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from leap_exp.tokens.scoring import visible

ATTENTION = "leap_varlen"
_GROWTH_TOKENS = 256
_NOT_APPLIED = ("softcap", "s_aux")
"""What some families have in their attention and packed attention has not: a cap of scores, and sinks."""


class ConversationCache:
    """The tokens of one conversation read so far, with their keys and values in every layer."""

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
        """Forget everything after the prefix shared with ``tokens``, and return the tokens still to read.

        At least one token is left to read, because the next decision needs its hidden state.
        """
        common = 0
        limit = min(len(self.tokens), len(tokens) - 1)
        while common < limit and self.tokens[common] == tokens[common]:
            common += 1
        del self.tokens[common:]
        return list(tokens[common:])

    def reserve(self, length: int) -> None:
        """Make room for ``length`` tokens in total."""
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
class Continuation:
    """A tree of tokens that continues a conversation, all relative to the end of what the cache holds.

    Attributes:
        tokens: Token ids, in preorder.
        depths: Number of tokens before each one in its sequence.
        ends: Place after the last token below each one (see ``TokenTree.ends``).
    """

    tokens: Sequence[int]
    depths: Sequence[int]
    ends: Sequence[int]

    def mask(self, past: int, device: torch.device) -> torch.Tensor:
        """Return which of ``past`` cached tokens and of its own each token sees, of shape (T, past + T)."""
        own_TT = visible(torch.tensor(self.ends))
        return torch.cat([own_TT.new_ones(len(self.tokens), past), own_TT], dim=1).to(device)


@dataclass(frozen=True, slots=True)
class _Segment:
    """The part of the packed row that belongs to one conversation."""

    cache: ConversationCache
    start: int
    stop: int
    past: int
    mask: torch.Tensor | None


def read(
    model: PreTrainedModel, caches: Sequence[ConversationCache], new_tokens: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Read ``new_tokens`` and append them to the caches.

    Args:
        model: A decoder with the attention implementation ``ATTENTION``.
        caches: One cache per conversation, all different.
        new_tokens: How each conversation continues; none may be empty.

    Returns:
        The last hidden state of each conversation, of shape (conversations, hidden size).
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
    model: PreTrainedModel, caches: Sequence[ConversationCache], continuations: Sequence[Continuation]
) -> list[torch.Tensor]:
    """Read trees of continuations without appending them to the caches.

    Returns:
        For each conversation the hidden states of its tree, of shape (tokens, hidden size); no tree may be empty.
    """
    masks = [tree.mask(len(cache.tokens), model.device) for cache, tree in zip(caches, continuations, strict=True)]
    return _forward(
        model, caches, [tree.tokens for tree in continuations], [tree.depths for tree in continuations], masks
    )


def _forward(
    model: PreTrainedModel,
    caches: Sequence[ConversationCache],
    new_tokens: Sequence[Sequence[int]],
    offsets: Sequence[Sequence[int]],
    masks: Sequence[torch.Tensor | None],
) -> list[torch.Tensor]:
    """Return the hidden states (T, D) of each conversation's new tokens, at ``offsets`` from the end of its cache."""
    segments: list[_Segment] = []
    positions: list[int] = []
    start = 0
    for cache, tokens, places, mask in zip(caches, new_tokens, offsets, masks, strict=True):
        past = len(cache.tokens)
        cache.reserve(past + len(tokens))
        segments.append(_Segment(cache, start, start + len(tokens), past, mask))
        positions.extend(past + place for place in places)
        start += len(tokens)
    ids = [token for tokens in new_tokens for token in tokens]
    with torch.inference_mode():
        hidden_NTD: torch.Tensor = model.base_model(
            input_ids=torch.tensor([ids], device=model.device),
            position_ids=torch.tensor([positions], device=model.device),
            use_cache=False,
            segments=segments,
        ).last_hidden_state
    return [hidden_NTD[0, segment.start : segment.stop] for segment in segments]


def _causal_mask(new: int, past: int, device: torch.device) -> torch.Tensor | None:
    """Return which of ``past + new`` tokens each new token sees, of shape (new, past + new); None if it sees all."""
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
    segments: Sequence[_Segment] | None = None,
    **options: object,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend within a packed row; shapes (1, heads, T, head size) in and (1, T, heads, head size) out.

    Without segments this is ordinary attention under the mask that the model was given.
    """
    if segments is None:
        ordinary: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return ordinary
    unknown = [name for name in _NOT_APPLIED if options.get(name) is not None]
    if unknown:
        raise NotImplementedError(f"Packed attention does not apply {', '.join(unknown)}.")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    output = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
    for segment in segments:
        total = segment.past + segment.stop - segment.start
        keys = segment.cache.keys_LHTD[layer, :, :total]
        values = segment.cache.values_LHTD[layer, :, :total]
        keys[:, segment.past :] = key[0, :, segment.start : segment.stop]
        values[:, segment.past :] = value[0, :, segment.start : segment.stop]
        attended = scaled_dot_product_attention(
            query[:, :, segment.start : segment.stop],
            keys[None],
            values[None],
            attn_mask=segment.mask,
            scale=scaling,
            enable_gqa=True,
        )
        output[:, segment.start : segment.stop] = attended.transpose(1, 2)
    return output, None


def _no_mask(*_: object, **__: object) -> None:
    """Return no mask: masks are made conversation by conversation."""


AttentionInterface.register(ATTENTION, _varlen_attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)
