"""From training rows to tensors: padding, attention masks and per-step sums."""

from collections.abc import Sequence

import torch

from leap_exp.train.examples import IGNORED, TRUNK, Row


def collate(rows: Sequence[Row], *, pad_id: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A batch of rows, padded at the end.

    Returns:
        ``input_ids``, ``position_ids`` and ``shift_labels`` of shape (B, T), the last as targets that need no further
        shift, and ``attention_mask`` of shape (B, 1, T, T), 0 where a token may look and the lowest number elsewhere.
    """
    length = max(len(row.ids) for row in rows)

    def padded(name: str, fill: int) -> torch.Tensor:
        values = [[*getattr(row, name), *[fill] * (length - len(row.ids))] for row in rows]
        return torch.tensor(values, dtype=torch.long)

    return {
        "input_ids": padded("ids", pad_id),
        "position_ids": padded("positions", 0),
        "shift_labels": padded("targets", IGNORED),
        "attention_mask": attention_mask(padded("branches", TRUNK), dtype),
    }


def attention_mask(branches_BT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The additive mask (B, 1, T, T): a token sees what stands before it on the trunk and on its own branch.

    Padding stands at the end and on the trunk, so that no other token sees it.
    """
    length = branches_BT.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    on_trunk = (branches_BT == TRUNK)[:, None, :]
    same_branch = branches_BT[:, :, None] == branches_BT[:, None, :]
    visible = causal & (on_trunk | same_branch)
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    return mask[:, None]
