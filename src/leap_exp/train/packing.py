"""From training rows to tensors: padding, attention masks and per-step sums."""

from collections.abc import Sequence

import torch

from leap_exp.train.examples import IGNORED, TRUNK, Row


def collate(rows: Sequence[Row], *, pad_id: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A batch of rows, padded at the end.

    Returns:
        ``input_ids``, ``position_ids`` and ``shift_labels`` of shape (B, T), the last as targets that need no further
        shift; ``options`` of shape (B, T, K), what each target is chosen among, filled up with IGNORED (all of it where
        that is the whole vocabulary); and ``attention_mask`` of shape (B, 1, T, T), 0 where a token may look and the
        lowest number elsewhere.
    """
    length = max(len(row.ids) for row in rows)

    def padded(name: str, fill: int) -> torch.Tensor:
        values = [[*getattr(row, name), *[fill] * (length - len(row.ids))] for row in rows]
        return torch.tensor(values, dtype=torch.long)

    return {
        "input_ids": padded("ids", pad_id),
        "position_ids": padded("positions", 0),
        "shift_labels": padded("targets", IGNORED),
        "options": _options(rows, length),
        "attention_mask": attention_mask(padded("branches", TRUNK), dtype),
    }


def _options(rows: Sequence[Row], length: int) -> torch.Tensor:
    most = max(1, *(len(options) for row in rows for options in row.options))
    options_BTK = torch.full((len(rows), length, most), IGNORED)
    for number, row in enumerate(rows):
        for place, options in enumerate(row.options):
            options_BTK[number, place, : len(options)] = torch.tensor(options, dtype=torch.long)
    return options_BTK


def target_logprobs(logits_NV: torch.Tensor, targets_N: torch.Tensor, options_NK: torch.Tensor) -> torch.Tensor:
    """Log-probability of each target among its options, of shape (N,); among the whole vocabulary if it has none."""
    logits_NV = logits_NV.float()
    target_logits_N = logits_NV.gather(-1, targets_N[:, None])[:, 0]
    is_option_NK = options_NK != IGNORED
    restricted_N = is_option_NK.any(dim=-1)
    # A row without options is computed and not used: masked to nothing, it would turn the gradient into NaN.
    masked_NK = logits_NV.gather(-1, options_NK.clamp(min=0))
    masked_NK = masked_NK.masked_fill(~is_option_NK & restricted_N[:, None], -torch.inf)
    normaliser_N = torch.where(restricted_N, masked_NK.logsumexp(-1), logits_NV.logsumexp(-1))
    return target_logits_N - normaliser_N


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
