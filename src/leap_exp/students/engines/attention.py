"""Attention over many conversations of different lengths at once, without padding.

The new tokens of all conversations form one row, so that every matrix product works on real tokens only. What a prompt
shares with the previous one of its conversation is not computed again. Where keys and values are, and how attention
goes over them, depends on the device: ``SeparateConversations`` (here) goes conversation by conversation, which is fast
on a processor, ``PooledConversations`` (pool.py) takes all of them in one call, as accelerators need it.

While all conversations write, each has one new token; then one call is faster on a processor, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from leap_exp.tokens.scoring import visible

ATTENTION = "leap_varlen"
_FILLED = 0.75
"""Share of real tokens from which one padded call is faster than one call per conversation."""
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
        self._slots: dict[str, int] = {}

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
            self._slots.pop(name, None)
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

    def _assign_slots(self, names: Sequence[str]) -> None:
        """Give those of ``names`` without a slot the first free ones."""
        for name in names:
            if name not in self._slots:
                self._slots[name] = min({*range(len(self._slots) + 1)} - {*self._slots.values()})


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


class KeysAndValues(ABC):
    """Keys and values of all layers, with a slot for each conversation.

    Attributes:
        keys: A tensor for each layer.
        values: The same.
        slots: Number of slots.
        capacity: Tokens that fit into a slot.
        groups: Number of query heads that share a key head.
    """

    token_axis: ClassVar[int]
    """The axis of a layer's tensor that counts tokens; slots are its first one."""
    growth: ClassVar[int]
    """Capacities are multiples of this."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._shape = KeyShape.of(model)
        self._like = torch.empty(0, dtype=model.dtype, device=model.device)
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.slots = self.capacity = 0
        self.groups = model.config.get_text_config().num_attention_heads // self._shape.heads

    @abstractmethod
    def _layer_shape(self, slots: int, capacity: int) -> tuple[int, int, int, int]: ...

    def reserve(self, slots: int, length: int) -> bool:
        """Make room for ``slots`` slots of ``length`` tokens; return whether the tensors are new ones."""
        if slots <= self.slots and length <= self.capacity:
            return False
        slots = max(slots, self.slots)
        capacity = max(self.capacity, -(-length // self.growth) * self.growth)
        for layers in (self.keys, self.values):
            for layer in range(self._shape.layers):
                # Zeros, because what is masked still counts with its value times 0.
                new = self._like.new_zeros(self._layer_shape(slots, capacity))
                if layer < len(layers):
                    new.narrow(0, 0, self.slots).narrow(self.token_axis, 0, self.capacity).copy_(layers[layer])
                    layers[layer] = new
                else:
                    layers.append(new)
        self.slots, self.capacity = slots, capacity
        return True

    def bias(self, mask_RQT: torch.Tensor) -> torch.Tensor:
        """Return a mask as what is added to scores, (R, 1, groups · Q, T): a query per head that shares a key head."""
        bias_RQT = torch.zeros(mask_RQT.shape, dtype=self._like.dtype, device=mask_RQT.device)
        return bias_RQT.masked_fill_(~mask_RQT, -torch.inf).repeat(1, self.groups, 1)[:, None]


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


class SeparateConversations(Conversations):
    """Attention goes conversation by conversation, but where each has one new token, in one call."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        self._cache = _KeysByHead(model)

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

    def _forward(
        self,
        names: Sequence[str],
        new_tokens: Sequence[Sequence[int]],
        offsets: Sequence[Iterable[int]],
        masks: Sequence[torch.Tensor | None],
    ) -> list[torch.Tensor]:
        """Return the hidden states (T, D) of each conversation's new tokens, at ``offsets`` from what was read."""
        self._assign_slots(names)
        segments: list[_Segment] = []
        positions: list[int] = []
        start = 0
        for name, tokens, places, mask in zip(names, new_tokens, offsets, masks, strict=True):
            past = len(self._tokens[name])
            segments.append(_Segment(self._slots[name], start, start + len(tokens), past, mask))
            positions.extend(past + place for place in places)
            start += len(tokens)
        self._cache.reserve(1 + max(self._slots.values()), max(segment.total for segment in segments))
        ids = [token for tokens in new_tokens for token in tokens]
        device = self.model.device
        row = _Step.of(self._cache, segments) if _writes_together(segments) else _Row(self._cache, segments)
        hidden_TD = hidden_states(
            self.model, torch.tensor(ids, device=device), torch.tensor(positions, device=device), row
        )
        return [hidden_TD[segment.start : segment.stop] for segment in segments]


class _KeysByHead(KeysAndValues):
    """Each layer of shape (slots, heads, capacity, head size), as attention on a processor reads it."""

    token_axis = 2
    growth = 256

    def _layer_shape(self, slots: int, capacity: int) -> tuple[int, int, int, int]:
        return slots, self._shape.heads, capacity, self._shape.head_dim


@dataclass(frozen=True, slots=True)
class _Segment:
    """The part of the packed row that belongs to the conversation in ``slot``."""

    slot: int
    start: int
    stop: int
    past: int
    mask: torch.Tensor | None

    @property
    def total(self) -> int:
        """Number of tokens with the new ones."""
        return self.past + self.stop - self.start


@dataclass(frozen=True, slots=True)
class _Row:
    """A packed row of conversations that are attended to one by one."""

    cache: _KeysByHead
    segments: Sequence[_Segment]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Attend conversation by conversation."""
        output = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
        for segment in self.segments:
            keys = self.cache.keys[layer][segment.slot, :, : segment.total]
            values = self.cache.values[layer][segment.slot, :, : segment.total]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One new token in each of many conversations, which are padded to one length and attended to in one call.

    Attributes:
        cache: The keys and values.
        slots_B: The slot of each conversation.
        pasts_B: Number of tokens that were read of it.
        bias_S1GT: What ``KeysAndValues.bias`` returns for every slot up to the last one that is used.
    """

    cache: _KeysByHead
    slots_B: torch.Tensor
    pasts_B: torch.Tensor
    bias_S1GT: torch.Tensor

    @classmethod
    def of(cls, cache: _KeysByHead, segments: Sequence[_Segment]) -> "_Step":
        """Return the row of ``segments``."""
        device = cache.keys[0].device
        slots_B = torch.tensor([segment.slot for segment in segments], device=device)
        pasts_B = torch.tensor([segment.past for segment in segments], device=device)
        # The slots of conversations that do not take part see a token, because a softmax over none is no number.
        lasts_S = pasts_B.new_zeros(1 + max(segment.slot for segment in segments)).index_put_((slots_B,), pasts_B)
        seen_S1T = torch.arange(max(segment.total for segment in segments), device=device) <= lasts_S[:, None, None]
        return cls(cache=cache, slots_B=slots_B, pasts_B=pasts_B, bias_S1GT=cache.bias(seen_S1T))

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Attend in one call, the query heads that share a key head side by side as if they were further queries."""
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[self.slots_B, :, self.pasts_B] = key[0].transpose(0, 1)
        values[self.slots_B, :, self.pasts_B] = value[0].transpose(0, 1)
        slots, _, groups, seen = self.bias_S1GT.shape
        query_SHGD = query.new_zeros(slots, keys.shape[1], groups, query.shape[-1])
        query_SHGD[self.slots_B] = query[0].transpose(0, 1).reshape(-1, keys.shape[1], groups, query.shape[-1])
        attended = scaled_dot_product_attention(
            query_SHGD, keys[:slots, :, :seen], values[:slots, :, :seen], attn_mask=self.bias_S1GT, scale=scaling
        )
        return attended.flatten(1, 2)[self.slots_B][None]


def _writes_together(segments: Sequence[_Segment]) -> bool:
    """Return whether each conversation has one new token and padding costs less than the start of many calls."""
    tokens = [segment.total for segment in segments]
    padded = (1 + max(segment.slot for segment in segments)) * max(tokens)
    return all(segment.stop == segment.start + 1 for segment in segments) and sum(tokens) > _FILLED * padded


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
