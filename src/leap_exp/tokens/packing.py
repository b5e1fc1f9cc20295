"""Packing: several batches of one token tree each become one row, in which the trees do not see each other."""

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from leap_exp.tokens.scoring import IGNORED, Batch


def pack(batches: Sequence[Batch], *, pad_id: int, multiple: int = 1) -> Batch:
    """Return one row with the trees of ``batches``, which score the same tokens in the same order.

    Args:
        batches: One tree each, with ``ends``.
        pad_id: Token id for padding.
        multiple: The row is padded to a multiple of this length.
    """
    lengths = [batch["input_ids"].shape[1] for batch in batches]
    starts = _starts(lengths)
    first_spans = _starts([len(batch["roles"]) for batch in batches])
    total = sum(lengths)
    padding = -total % multiple
    # Padding sees itself only.
    own_ends = torch.arange(total, total + padding) + 1
    labels_N = torch.cat([batch["labels"] for batch in batches])
    packed: Batch = {
        "input_ids": pad(torch.cat([batch["input_ids"] for batch in batches], dim=1), (0, padding), value=pad_id),
        "position_ids": pad(torch.cat([batch["position_ids"] for batch in batches], dim=1), (0, padding)),
        "ends": torch.cat([*(batch["ends"][0] + s for batch, s in zip(batches, starts, strict=True)), own_ends])[None],
        "rows": torch.zeros_like(labels_N),
        "places": torch.cat([batch["places"] + start for batch, start in zip(batches, starts, strict=True)]),
        "labels": labels_N,
        "shift_labels": labels_N,
        "options": _padded_options([batch["options"] for batch in batches]),
        "weights": torch.cat([batch["weights"] for batch in batches]),
        "spans": torch.cat([batch["spans"] + first for batch, first in zip(batches, first_spans, strict=True)]),
        "roles": torch.cat([batch["roles"] for batch in batches]),
        "pairs": torch.cat([batch["pairs"] + first for batch, first in zip(batches, first_spans, strict=True)]),
    }
    if "reference" in batches[0]:
        packed["reference"] = torch.cat([batch["reference"] for batch in batches])
    return packed


def _starts(sizes: Sequence[int]) -> list[int]:
    """Return where each part starts if parts of these sizes are joined."""
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _padded_options(options: Sequence[torch.Tensor]) -> torch.Tensor:
    width = max(options_NK.shape[1] for options_NK in options)
    return torch.cat([pad(each_NK, (0, width - each_NK.shape[1]), value=IGNORED) for each_NK in options])
