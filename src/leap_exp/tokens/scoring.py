"""Scoring: the log-probabilities of the spans of rows, computed in one pass over each token tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypedDict

import torch

from leap_exp.tokens.spans import Row, Span

IGNORED = -100
"""Fills up lists of options of different lengths."""


class Batch(TypedDict):
    """Rows as tensors, padded at the end.

    B rows of up to T tokens hold N scored tokens, each chosen from up to K options. ``labels`` and ``shift_labels`` are
    two names for the targets: transformers counts the targets of an accumulated batch by them.
    """

    input_ids: torch.Tensor  # (B, T)
    position_ids: torch.Tensor  # (B, T)
    attention_mask: torch.Tensor  # (B, 1, T, T), 0 where a token may attend and the lowest number elsewhere
    rows: torch.Tensor  # (N,), the row of each scored token
    places: torch.Tensor  # (N,), the place after which it is predicted
    labels: torch.Tensor  # (N,)
    shift_labels: torch.Tensor  # (N,)
    options: torch.Tensor  # (N, K), filled up with IGNORED; all IGNORED for the whole vocabulary
    weights: torch.Tensor  # (N,)


@dataclass(frozen=True, slots=True)
class Score:
    """The log-probabilities (nats) of the scored tokens of a row, one tuple per span."""

    spans: tuple[tuple[float, ...], ...]

    def total(self, index: int) -> float:
        """Return the log-probability of the span at ``index``."""
        return sum(self.spans[index])


def collate(rows: Sequence[Row], *, pad_id: int, dtype: torch.dtype) -> Batch:
    """Return ``rows`` as a batch; the attention mask has the type ``dtype``."""
    length = max(len(row.tree) for row in rows)
    spans = [(index, span) for index, row in enumerate(rows) for span in row.spans]
    targets_N = _joined([span.targets for _, span in spans])
    return {
        "input_ids": _padded([row.tree.tokens for row in rows], length, pad_id),
        "position_ids": _padded([row.tree.depths for row in rows], length, 0),
        "attention_mask": torch.stack([attention_mask(row.tree.ends, length, dtype) for row in rows]),
        "rows": _joined([(index,) * len(span.places) for index, span in spans]),
        "places": _joined([span.places for _, span in spans]),
        "labels": targets_N,
        "shift_labels": targets_N,
        "options": options_tensor([span for _, span in spans]),
        "weights": torch.tensor([span.weight for _, span in spans for _ in span.places]),
    }


def visible(ends_T: torch.Tensor) -> torch.Tensor:
    """Return which tokens of a tree each token sees, itself included, as a mask (T, T); see ``TokenTree.ends``."""
    places_T = torch.arange(len(ends_T))
    return (places_T[:, None] >= places_T) & (places_T[:, None] < ends_T)


def attention_mask(ends: Sequence[int], length: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask (1, length, length) of a tree that is padded to ``length``.

    Padding goes on behind the last token, so that no token sees it.
    """
    ends_T = torch.tensor([*(length if end == len(ends) else end for end in ends), *[length] * (length - len(ends))])
    mask = torch.zeros(length, length, dtype=dtype).masked_fill(~visible(ends_T), torch.finfo(dtype).min)
    return mask[None]


def score_batch(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the log-probability (nats) of each scored token of ``batch``, of shape (N,).

    The head of the model computes logits only at places where a token is scored.
    """
    kept_T, index_N = torch.unique(batch["places"], return_inverse=True)
    logits_BTV = model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=batch["attention_mask"],
        use_cache=False,
        logits_to_keep=kept_T,
    ).logits
    return target_logprobs(logits_BTV[batch["rows"], index_N], batch["labels"], batch["options"])


def target_logprobs(logits_NV: torch.Tensor, targets_N: torch.Tensor, options_NK: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each target among its options, or among the whole vocabulary if it has none."""
    logits_NV = logits_NV.float()
    target_logits_N = logits_NV.gather(-1, targets_N[:, None])[:, 0]
    is_option_NK = options_NK != IGNORED
    free_N = ~is_option_NK.any(dim=-1)
    # Entries without options get their normaliser below. Masked to nothing here, they would turn the gradient into NaN.
    masked_NK = logits_NV.gather(-1, options_NK.clamp(min=0))
    normaliser_N = masked_NK.masked_fill(~is_option_NK & ~free_N[:, None], -torch.inf).logsumexp(-1)
    if free_N.any():
        normaliser_N = normaliser_N.masked_scatter(free_N, logits_NV[free_N].logsumexp(-1))
    return target_logits_N - normaliser_N


def split_by_span(logprobs_N: torch.Tensor, rows: Sequence[Row]) -> list[Score]:
    """Return the scores of ``rows``, whose scored tokens ``logprobs_N`` has one after the other."""
    values = iter(logprobs_N.tolist())
    return [Score(tuple(tuple(next(values) for _ in span.targets) for span in row.spans)) for row in rows]


def options_tensor(spans: Sequence[Span]) -> torch.Tensor:
    """Return the options of the spans' scored tokens, of shape (N, K), filled up with IGNORED."""
    options = [choice for span in spans for choice in span.options]
    width = max((len(choice) for choice in options), default=0) or 1
    filled = [[*choice, *[IGNORED] * (width - len(choice))] for choice in options]
    return torch.tensor(filled, dtype=torch.long).reshape(-1, width)


def _padded(sequences: Sequence[Sequence[int]], length: int, fill: int) -> torch.Tensor:
    return torch.tensor([[*sequence, *[fill] * (length - len(sequence))] for sequence in sequences])


def _joined(sequences: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.tensor(list(chain.from_iterable(sequences)), dtype=torch.long)
