"""All conversations in one pool of keys and values, for accelerators.

An accelerator is idle while Python starts one small kernel after another. So each conversation has a slot in tensors
that all of them share, attention is one call per layer, the kernels that write a token are recorded once and replayed
(a CUDA graph), and chosen tokens stay on the device until several are there. All of this runs on a processor too.
"""

from collections.abc import Collection, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from leap_exp.students.engines.attention import Continuation, Conversations, Segments, hidden_states
from leap_exp.students.engines.pooled_attention import Batch, MaskedRow, Pool, VarlenRow
from leap_exp.students.engines.sampling import is_greedy, uniforms
from leap_exp.students.engines.step_loop import GraphMemory, StepLoop
from leap_exp.tokens.engine import Sampling

_READ_TOKENS = 16_384
"""Tokens that are read at a time; more would only need more memory."""
_MASK_ENTRIES = 2**27
"""Size of the largest mask."""
_LENGTHS = 256
"""While writing, attention covers a multiple of this many tokens of a slot: each multiple is recorded by itself."""
_BLOCK = 8
"""Tokens that are written in each conversation before the program looks which ones have ended."""


class PooledConversations(Conversations):
    """Conversations with a slot each in one pool.

    Args:
        model: A decoder with the attention implementation ``ATTENTION``.
        varlen: Whether to use PyTorch's kernel for rows of different lengths.
    """

    def __init__(self, model: PreTrainedModel, *, varlen: bool = False) -> None:
        super().__init__(model)
        self._varlen = varlen
        self._pool = Pool(model)
        self._loops: dict[tuple[int, int, Sampling], StepLoop] = {}
        self._memory = GraphMemory()

    def read_ahead(self, names: Sequence[str], continuations: Sequence[Continuation]) -> list[torch.Tensor]:
        """Read trees, each under its own mask."""
        device = self.model.device
        hidden: dict[int, torch.Tensor] = {}
        for part in self._parts(names, [len(tree.tokens) for tree in continuations]):
            trees = [continuations[index] for index in part]
            batch = self._batch([names[index] for index in part], [tree.tokens for tree in trees])
            depths_N = torch.tensor([depth for tree in trees for depth in tree.depths])
            row = MaskedRow.of(self._pool, batch, batch.tree_mask(trees, device))
            hidden_ND = self._forward(batch.ids_N, batch.pasts_R[batch.rows_N] + depths_N, row)
            hidden |= dict(zip(part, torch.split(hidden_ND, batch.counts), strict=True))
        return [hidden[index] for index in range(len(names))]

    def write(
        self,
        names: Sequence[str],
        first_B: torch.Tensor,
        *,
        count: int,
        stop_ids: frozenset[int],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[list[int]]:
        """Write up to ``count`` tokens in each conversation, the first of which are given, up to a stop token.

        The last of ``count`` tokens is not read, as in ``Conversations.read``.
        """
        starts = [len(self._tokens[name]) for name in names]
        slots_B = torch.tensor([self._slots[name] for name in names], device=first_B.device)
        loop = self._started(slots_B, first_B, room=max(starts) + count + _BLOCK, sampling=sampling)
        written: list[list[int]] = [[] for _ in names]
        ended = [False] * len(names)
        block = [first_B]
        for done in range(1, count + 1):
            if len(block) == _BLOCK or done == count:
                _append(written, ended, torch.stack(block, dim=1).tolist(), stop_ids)
                block = []
                if all(ended):
                    break
            if done < count:
                drawn = [] if is_greedy(sampling) else uniforms(seeds, [start + done for start in starts])
                block.append(loop.step(slots_B, drawn))
        for name, tokens in zip(names, written, strict=True):
            self._tokens[name].extend(tokens[: count - 1])
        return written

    def retain(self, names: Collection[str]) -> None:
        """Forget all conversations but these, and close the gaps between the slots."""
        super().retain(names)
        free = sorted(set(range(len(self._slots))) - set(self._slots.values()))
        for name, slot in self._slots.items():
            if slot >= len(self._slots):
                self._slots[name] = free.pop(0)
                self._pool.move(slot, self._slots[name])

    def step_hidden(self, tokens_S: torch.Tensor, lengths_S: torch.Tensor, longest: int) -> torch.Tensor:
        """Read one token in every slot, each behind its length; return the hidden states (S, D)."""
        kind = VarlenRow if self._varlen else MaskedRow
        return hidden_states(self.model, tokens_S, lengths_S, kind.of_step(self._pool, lengths_S, longest))

    def _read(self, names: Sequence[str], new_tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        device = self.model.device
        last: dict[int, torch.Tensor] = {}
        for part in self._parts(names, list(map(len, new_tokens))):
            batch = self._batch([names[index] for index in part], [new_tokens[index] for index in part])
            row: Segments
            if self._varlen:
                row = VarlenRow.of(self._pool, batch, device)
            else:
                row = MaskedRow.of(self._pool, batch, batch.causal_mask(device))
            hidden_ND = self._forward(batch.ids_N, batch.places_N, row)
            ends_R = (batch.starts_R + batch.counts_R - 1).to(device)
            last |= dict(zip(part, hidden_ND[ends_R], strict=True))
        return torch.stack([last[index] for index in range(len(names))])

    def _forward(self, ids_N: torch.Tensor, positions_N: torch.Tensor, row: Segments) -> torch.Tensor:
        device = self.model.device
        return hidden_states(self.model, ids_N.to(device), positions_N.to(device), row)

    def _batch(self, names: Sequence[str], new_tokens: Sequence[Sequence[int]]) -> Batch:
        return Batch([self._slots[name] for name in names], [len(self._tokens[name]) for name in names], new_tokens)

    def _parts(self, names: Sequence[str], counts: Sequence[int]) -> Iterator[list[int]]:
        """Yield which conversations are read together: those with about as many new tokens, within the limits.

        All get their slots first, because a pool that grows moves.
        """
        self._assign_slots(names)
        longest = max(len(self._tokens[name]) + count for name, count in zip(names, counts, strict=True))
        self._reserve(longest)
        part: list[int] = []
        for index in sorted(range(len(names)), key=lambda index: -counts[index]):
            # With padding, all have as many as the first.
            tokens = (len(part) + 1) * counts[part[0] if part else index]
            if part and (tokens > _READ_TOKENS or tokens * longest * self._pool.groups > _MASK_ENTRIES):
                yield part
                part = []
            part.append(index)
        yield part

    def _reserve(self, length: int) -> None:
        if self._pool.reserve(_bucket(len(self._slots)), length):
            self._loops.clear()
            self._memory = GraphMemory()

    def _started(self, slots_B: torch.Tensor, first_B: torch.Tensor, *, room: int, sampling: Sampling) -> StepLoop:
        """Return a loop that goes on in ``slots_B`` with the tokens ``first_B``, up to ``room`` tokens in each."""
        lengths = [0] * _bucket(len(self._slots))
        for name, slot in self._slots.items():
            lengths[slot] = len(self._tokens[name])
        # The other conversations run along: each writes again and again behind its end.
        self._reserve(max(room, 1 + max(lengths)))
        longest = self._pool.capacity if self._varlen else min(self._pool.capacity, -(-room // _LENGTHS) * _LENGTHS)
        key = (len(lengths), longest, sampling)
        if key not in self._loops:
            self._loops[key] = StepLoop(self, len(lengths), longest, sampling, self._memory)
        self._loops[key].start(lengths, slots_B, first_B)
        return self._loops[key]


def _append(written: Sequence[list[int]], ended: list[bool], block: list[list[int]], stop_ids: frozenset[int]) -> None:
    """Append to each conversation its tokens of ``block``, up to a stop token."""
    for index, tokens in enumerate(block):
        for token in tokens:
            if token in stop_ids:
                ended[index] = True
            if ended[index]:
                break
            written[index].append(token)


def _bucket(count: int) -> int:
    """Return the number of slots for ``count`` conversations: few different ones, because each is recorded."""
    return next((size for size in (1, 2, 4) if size >= count), -(-count // 8) * 8)
