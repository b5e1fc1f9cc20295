"""Attention over many conversations of different lengths at once, without padding.

The new tokens of all conversations form one row, so that every matrix product works on real tokens only. What a prompt
shares with the previous one of its conversation is not computed again. Where keys and values are, and how attention
goes over them, depends on the device: ``SeparateConversations`` (here) goes conversation by conversation, which is fast
on a processor, ``PooledConversations`` (pool.py) takes all of them in one call, as accelerators need it.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from leap_exp.tokens.scoring import visible

ATTENTION = "leap_varlen"
_GROWTH_TOKENS = 256
_NOT_APPLIED = ("softcap", "s_aux")
"""What some families have in their attention and packed attention has not: a cap of scores, and sinks."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A tree of tokens that continues a conversation, all relative to the end of what has been read of it.

    Attributes:
        tokens: Token ids, in preorder.
        depths: Number of tokens before each one in its sequence.
        ends: Place after the last token below each one (see ``TokenTree.ends``).
    """

    tokens: Sequence[int]
    depths: Sequence[int]
    ends: Sequence[int]

    def mask(self, past: int, device: torch.device) -> torch.Tensor:
        """Return which of ``past`` read tokens and of its own each token sees, of shape (T, past + T)."""
        own_TT = visible(torch.tensor(self.ends))
        return torch.cat([own_TT.new_ones(len(self.tokens), past), own_TT], dim=1).to(device)


class Conversations(ABC):
    """The conversations that a model reads, by name, each with the keys and values of what was read of it.

    Args:
        model: A decoder with the attention implementation ``ATTENTION``.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._tokens: dict[str, list[int]] = {}

    def keep_common_prefix(self, name: str, tokens: Sequence[int]) -> list[int]:
        """Forget everything of a conversation after the prefix shared with ``tokens``; return those still to read.

        At least one token is left to read, because the next decision needs its hidden state.
        """
        read = self._tokens.setdefault(name, [])
        common = 0
        limit = min(len(read), len(tokens) - 1)
        while common < limit and read[common] == tokens[common]:
            common += 1
        del read[common:]
        return list(tokens[common:])

    def retain(self, names: Collection[str]) -> None:
        """Forget all conversations but these."""
        for name in self._tokens.keys() - set(names):
            self._forget(name)
            del self._tokens[name]

    def read(self, names: Sequence[str], new_tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read how each of the conversations, all different, continues; none may be empty.

        Returns:
            The last hidden state of each conversation, of shape (conversations, hidden size).
        """
        hidden_BD = self._read(names, new_tokens)
        for name, tokens in zip(names, new_tokens, strict=True):
            self._tokens[name].extend(tokens)
        return hidden_BD

    @abstractmethod
    def read_ahead(self, names: Sequence[str], continuations: Sequence[Continuation]) -> list[torch.Tensor]:
        """Read trees of continuations, which are not part of the conversations afterwards.

        Returns:
            For each conversation the hidden states of its tree, of shape (tokens, hidden size); no tree may be empty.
        """

    @abstractmethod
    def _read(self, names: Sequence[str], new_tokens: Sequence[Sequence[int]]) -> torch.Tensor: ...

    @abstractmethod
    def _forget(self, name: str) -> None: ...


class Segments(Protocol):
    """The packed row that is being read, and the keys and values of its conversations."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Store the row's keys and values and attend; shapes (1, heads, T, D) in and (1, T, heads, D) out."""


def hidden_states(
    model: PreTrainedModel, ids_T: torch.Tensor, positions_T: torch.Tensor, segments: Segments
) -> torch.Tensor:
    """Return the last hidden states (T, D) of a packed row."""
    with torch.inference_mode():
        hidden_NTD: torch.Tensor = model.base_model(
            input_ids=ids_T[None], position_ids=positions_T[None], use_cache=False, segments=segments
        ).last_hidden_state
    return hidden_NTD[0]


class SeparateConversations(Conversations):
    """Each conversation has its own keys and values, and attention goes conversation by conversation."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        self._caches: dict[str, _KeysAndValues] = {}

    def read_ahead(self, names: Sequence[str], continuations: Sequence[Continuation]) -> list[torch.Tensor]:
        """Read trees, each under its own mask."""
        masks = [
            tree.mask(len(self._tokens[name]), self.model.device)
            for name, tree in zip(names, continuations, strict=True)
        ]
        tokens = [tree.tokens for tree in continuations]
        return self._forward(names, tokens, [tree.depths for tree in continuations], masks)

    def _read(self, names: Sequence[str], new_tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        masks = [
            _causal_mask(len(tokens), len(self._tokens[name]), self.model.device)
            for name, tokens in zip(names, new_tokens, strict=True)
        ]
        hidden = self._forward(names, new_tokens, [range(len(tokens)) for tokens in new_tokens], masks)
        return torch.stack([hidden_TD[-1] for hidden_TD in hidden])

    def _forget(self, name: str) -> None:
        self._caches.pop(name, None)

    def _forward(
        self,
        names: Sequence[str],
        new_tokens: Sequence[Sequence[int]],
        offsets: Sequence[Iterable[int]],
        masks: Sequence[torch.Tensor | None],
    ) -> list[torch.Tensor]:
        """Return the hidden states (T, D) of each conversation's new tokens, at ``offsets`` from what was read."""
        segments: list[_Segment] = []
        positions: list[int] = []
        start = 0
        for name, tokens, places, mask in zip(names, new_tokens, offsets, masks, strict=True):
            past = len(self._tokens[name])
            if name not in self._caches:
                self._caches[name] = _KeysAndValues(self.model)
            self._caches[name].reserve(past + len(tokens))
            segments.append(_Segment(self._caches[name], start, start + len(tokens), past, mask))
            positions.extend(past + place for place in places)
            start += len(tokens)
        ids = [token for tokens in new_tokens for token in tokens]
        device = self.model.device
        hidden_TD = hidden_states(
            self.model, torch.tensor(ids, device=device), torch.tensor(positions, device=device), _Row(segments)
        )
        return [hidden_TD[segment.start : segment.stop] for segment in segments]


class _KeysAndValues:
    """The keys and values of one conversation in every layer."""

    def __init__(self, model: PreTrainedModel) -> None:
        shape = KeyShape.of(model)
        self._shape = shape
        self._like = torch.empty(0, dtype=model.dtype, device=model.device)
        self.keys_LHTD = self._allocate(0)
        self.values_LHTD = self._allocate(0)

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
        return self._like.new_empty(self._shape.layers, self._shape.heads, capacity, self._shape.head_dim)


@dataclass(frozen=True, slots=True)
class KeyShape:
    """The sizes of a model's keys and values."""

    layers: int
    heads: int
    head_dim: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> "KeyShape":
        """Return the sizes in the configuration of ``model``."""
        config = model.config.get_text_config()
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(layers=config.num_hidden_layers, heads=config.num_key_value_heads, head_dim=head_dim)


@dataclass(frozen=True, slots=True)
class _Segment:
    """The part of the packed row that belongs to one conversation."""

    cache: _KeysAndValues
    start: int
    stop: int
    past: int
    mask: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A packed row of conversations with separate keys and values."""

    segments: Sequence[_Segment]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Attend conversation by conversation."""
        output = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
        for segment in self.segments:
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
        return output


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
    segments: Segments | None = None,
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
    return segments.attend(layer, query, key, value, scaling), None


def _no_mask(*_: object, **__: object) -> None:
    """Return no mask: masks are made conversation by conversation."""


AttentionInterface.register(ATTENTION, _varlen_attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)
