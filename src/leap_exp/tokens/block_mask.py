"""FlexAttention's block masks of token trees.

Attention then costs the blocks in which a token sees another, not the square of a row's length, so that many trees
can share a row.
"""

import torch
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad

FLEX = "flex_attention"
"""The attention implementation of transformers that takes such masks."""
BLOCK = 128
"""Tokens along each side of a block."""


def block_mask(ends_BT: torch.Tensor, positions_BT: torch.Tensor, window: int | None) -> BlockMask:
    """Return the mask of B rows of token trees.

    FlexAttention's own ``create_block_mask`` computes the whole mask (B, T, T) first; whether a block holds anything
    follows from the highest and the lowest end and position of its tokens.

    Args:
        ends_BT: See ``TokenTree.ends``.
        positions_BT: The place of each token in its sequence.
        window: How many positions back a token sees, itself included; None for all.
    """
    length = ends_BT.shape[1]
    # Tokens behind the last one see nothing.
    padded_BT = pad(ends_BT, (0, -length % BLOCK))
    ends_BMT = padded_BT.view(len(ends_BT), -1, BLOCK)
    starts_M = torch.arange(ends_BMT.shape[1], device=ends_BT.device) * BLOCK
    is_before_MM = starts_M[:, None] > starts_M
    is_same_MM = starts_M[:, None] == starts_M
    some_BMM = is_same_MM | is_before_MM & (ends_BMT.amax(-1)[:, None] > starts_M[:, None])
    full_BMM = is_before_MM & (ends_BMT.amin(-1)[:, None] >= starts_M[:, None] + BLOCK)
    if window is not None:
        positions_BT = pad(positions_BT, (0, -length % BLOCK))
        positions_BMT = positions_BT.view_as(ends_BMT)
        highest_BM, lowest_BM = positions_BMT.amax(-1), positions_BMT.amin(-1)
        some_BMM &= lowest_BM[:, :, None] - highest_BM[:, None] < window
        full_BMM &= highest_BM[:, :, None] - lowest_BM[:, None] < window
    part_BMM = some_BMM & ~full_BMM

    def is_visible(
        row: torch.Tensor,
        head: torch.Tensor,  # noqa: ARG001 - all heads see the same
        query: torch.Tensor,
        key: torch.Tensor,
    ) -> torch.Tensor:
        is_after = (query >= key) & (query < padded_BT[row, key])
        if window is None:
            return is_after
        return is_after & (positions_BT[row, query] - positions_BT[row, key] < window)

    return BlockMask.from_kv_blocks(
        *_listed(part_BMM), *_listed(full_BMM), BLOCK_SIZE=BLOCK, mask_mod=is_visible, seq_lengths=(length, length)
    )


def _listed(blocks_BMM: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the number of blocks in each row of blocks, (B, 1, M), and their places first in a list, (B, 1, M, M)."""
    places_BMM = blocks_BMM.int().argsort(dim=-1, descending=True, stable=True)
    return blocks_BMM.sum(-1)[:, None].int(), places_BMM[:, None].int()
