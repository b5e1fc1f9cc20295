"""Attention over a pool of keys and values, in one call per layer.

Plain ``scaled_dot_product_attention`` under a mask: conversations are padded to one length for it, but for nothing
else, and the query heads that share a key head are laid side by side as if they were further queries, so that keys are
not expanded. Where PyTorch's kernel for rows of different lengths computes the same (half precision on a GPU), that can
take its place for all but trees.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import PreTrainedModel

from leap_exp.students.engines.attention import Continuation, KeysAndValues

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before PyTorch 2.10
    varlen_attn = None  # type: ignore[assignment]

_ALIGNMENT = 64
"""The kernels want masks whose rows are a multiple of this."""


def may_have_varlen(model: PreTrainedModel) -> bool:
    """Return whether PyTorch's kernel for rows of different lengths may work for ``model``; it has to be tried."""
    return (
        model.device.type == "cuda"
        and model.dtype in (torch.bfloat16, torch.float16)
        and varlen_attn is not None
        and "seqused_k" in inspect.signature(varlen_attn).parameters
    )


class Pool(KeysAndValues):
    """Each layer of shape (slots, capacity, heads, head size), as the kernels of accelerators read it."""

    token_axis = 1
    growth = 512

    def _layer_shape(self, slots: int, capacity: int) -> tuple[int, int, int, int]:
        return slots, capacity, self._shape.heads, self._shape.head_dim

    def move(self, source: int, target: int) -> None:
        """Move what is in one slot to another."""
        for layer in (*self.keys, *self.values):
            layer[target] = layer[source]

    def store(
        self, layer: int, places_N: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values of N new tokens at places counted through all slots; return those of the layer."""
        keys, values = self.keys[layer], self.values[layer]
        keys.flatten(0, 1).index_copy_(0, places_N, key[0].transpose(0, 1))
        values.flatten(0, 1).index_copy_(0, places_N, value[0].transpose(0, 1))
        return keys, values


class Batch:
    """New tokens of R conversations as one row of N tokens; all tensors are on the processor.

    Args:
        slots: The slot of each conversation.
        pasts: Number of tokens that have been read of it.
        new_tokens: Its new tokens.
    """

    def __init__(self, slots: Sequence[int], pasts: Sequence[int], new_tokens: Sequence[Sequence[int]]) -> None:
        self.counts = list(map(len, new_tokens))
        self.width = max(self.counts)
        self.longest = max(past + count for past, count in zip(pasts, self.counts, strict=True))
        self.ids_N = torch.tensor([token for tokens in new_tokens for token in tokens])
        self.slots_R, self.pasts_R, self.counts_R = torch.tensor(slots), torch.tensor(pasts), torch.tensor(self.counts)
        self.rows_N = torch.arange(len(slots)).repeat_interleave(self.counts_R)
        self.starts_R = self.counts_R.cumsum(0) - self.counts_R
        self.within_N = torch.arange(len(self.ids_N)) - self.starts_R[self.rows_N]

    @property
    def places_N(self) -> torch.Tensor:
        """The place of each token in its slot."""
        return self.pasts_R[self.rows_N] + self.within_N

    def causal_mask(self, device: torch.device) -> torch.Tensor:
        """Return which tokens of its slot each new token sees, of shape (R, Q, T); padding sees some tokens too."""
        last_RQ = self.pasts_R[:, None] + torch.arange(self.width)
        return torch.arange(_aligned(self.longest), device=device) <= last_RQ[..., None].to(device)

    def tree_mask(self, trees: Sequence[Continuation], device: torch.device) -> torch.Tensor:
        """Return the same for tokens that are trees."""
        mask_RQT = torch.zeros(len(trees), self.width, _aligned(self.longest), dtype=torch.bool)
        mask_RQT[:, :, 0] = True
        for row, (tree, past) in enumerate(zip(trees, self.pasts_R.tolist(), strict=True)):
            own_QT = tree.mask(past, mask_RQT.device)
            mask_RQT[row, : own_QT.shape[0], : own_QT.shape[1]] = own_QT
        return mask_RQT.to(device)

    def stored(self, pool: Pool) -> torch.Tensor:
        """Return where in the pool the keys of the new tokens go, of shape (N,)."""
        return self.slots_R[self.rows_N] * pool.capacity + self.places_N


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedRow:
    """A packed row whose conversations are padded to one length for attention.

    Attributes:
        pool: The keys and values.
        stored_N: Where each new token's key goes.
        slots_R: The slots that are attended to; None for all from the first on.
        padded_RQ: The new tokens of each conversation, with padding.
        unpadded_N: Where each new token is among those.
        bias_R1QT: What ``KeysAndValues.bias`` returns.
    """

    pool: Pool
    stored_N: torch.Tensor
    slots_R: torch.Tensor | None
    padded_RQ: torch.Tensor
    unpadded_N: torch.Tensor
    bias_R1QT: torch.Tensor

    @classmethod
    def of(cls, pool: Pool, batch: Batch, mask_RQT: torch.Tensor) -> "MaskedRow":
        """Return the row of ``batch`` under a mask."""
        device = mask_RQT.device
        padded_RQ = batch.starts_R[:, None] + torch.arange(batch.width).clamp(max=batch.counts_R[:, None] - 1)
        return cls(
            pool=pool,
            stored_N=batch.stored(pool).to(device),
            slots_R=batch.slots_R.to(device),
            padded_RQ=padded_RQ.to(device),
            unpadded_N=(batch.rows_N * batch.width + batch.within_N).to(device),
            bias_R1QT=pool.bias(mask_RQT),
        )

    @classmethod
    def of_step(cls, pool: Pool, lengths_S: torch.Tensor, longest: int) -> "MaskedRow":
        """Return the row of one new token behind ``lengths_S`` tokens in each of the first slots."""
        slots_S = torch.arange(len(lengths_S), device=lengths_S.device)
        mask_S1T = torch.arange(longest, device=lengths_S.device) <= lengths_S[:, None, None]
        return cls(
            pool=pool,
            stored_N=slots_S * pool.capacity + lengths_S,
            slots_R=None,
            padded_RQ=slots_S[:, None],
            unpadded_N=slots_S,
            bias_R1QT=pool.bias(mask_S1T),
        )

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Attend in one call."""
        keys, values = self.pool.store(layer, self.stored_N, key, value)
        (rows, width), heads, size = self.padded_RQ.shape, keys.shape[2], keys.shape[3]
        seen = self.bias_R1QT.shape[-1]
        if self.slots_R is None:
            keys, values = keys[:rows, :seen], values[:rows, :seen]
        else:
            keys, values = (each[:, :seen].index_select(0, self.slots_R) for each in (keys, values))
        padded = query[0][:, self.padded_RQ].view(heads, -1, rows, width, size)
        folded = padded.permute(2, 0, 1, 3, 4).reshape(rows, heads, -1, size)
        attended = scaled_dot_product_attention(
            folded, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=self.bias_R1QT, scale=scaling
        )
        unfolded = attended.view(rows, heads, -1, width, size).permute(0, 3, 1, 2, 4)
        return unfolded.reshape(1, rows * width, query.shape[1], size)[:, self.unpadded_N]


@dataclass(frozen=True, slots=True, kw_only=True)
class VarlenRow:
    """A packed row for PyTorch's kernel, which is told where each conversation begins and how long it is."""

    pool: Pool
    stored_N: torch.Tensor
    query_starts: torch.Tensor
    key_starts: torch.Tensor
    key_counts_R: torch.Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, pool: Pool, batch: Batch, device: torch.device) -> "VarlenRow":
        """Return the row of ``batch``."""
        end = pool.slots * pool.capacity
        return cls(
            pool=pool,
            stored_N=batch.stored(pool).to(device),
            query_starts=pad(batch.counts_R.cumsum(0), (1, 0)).int().to(device),
            key_starts=pad(batch.slots_R * pool.capacity, (0, 1), value=end).int().to(device),
            key_counts_R=(batch.pasts_R + batch.counts_R).int().to(device),
            longest_query=batch.width,
            longest_key=batch.longest,
        )

    @classmethod
    def of_step(cls, pool: Pool, lengths_S: torch.Tensor, longest: int) -> "VarlenRow":
        """Return the row of one new token behind ``lengths_S`` tokens in each of the first slots."""
        ends = torch.arange(len(lengths_S) + 1, device=lengths_S.device)
        return cls(
            pool=pool,
            stored_N=ends[:-1] * pool.capacity + lengths_S,
            query_starts=ends.int(),
            key_starts=(ends * pool.capacity).int(),
            key_counts_R=(lengths_S + 1).int(),
            longest_query=1,
            longest_key=longest,
        )

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Attend in one call."""
        keys, values = self.pool.store(layer, self.stored_N, key, value)
        attended = varlen_attn(
            query[0].transpose(0, 1).contiguous(),
            keys.flatten(0, 1),
            values.flatten(0, 1),
            self.query_starts,
            self.key_starts,
            self.longest_query,
            self.longest_key,
            scale=scaling,
            window_size=(-1, 0),
            enable_gqa=True,
            seqused_k=self.key_counts_R,
        )
        assert isinstance(attended, torch.Tensor)  # noqa: S101 - nothing else was asked for
        return attended[None]


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
