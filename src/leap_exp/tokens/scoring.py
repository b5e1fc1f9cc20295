"""Scoring: the log-probabilities of the spans of rows, computed in one pass over each token tree."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PretrainedConfig

from leap_exp.tokens.block_mask import FLEX, block_mask
from leap_exp.tokens.spans import Role, Row, Span
from leap_exp.tokens.tree import ROOT, TokenTree

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

    _Mask = torch.Tensor | BlockMask

IGNORED = -100
"""Fills up lists of options of different lengths."""
ROLES = tuple(Role)


class Inputs(TypedDict):
    """Tokens, padded at the end, and where in them tokens are scored.

    B rows of up to T tokens hold N scored tokens. The rows are token trees with positions and ``ends``, from which the
    mask is made where the model is if it is not there yet, or plain sequences with ``lengths``, to be read one by one.
    """

    input_ids: torch.Tensor  # (B, T)
    position_ids: NotRequired[torch.Tensor]  # (B, T)
    attention_mask: NotRequired[torch.Tensor]  # (B, 1, T, T), 0 where a token may attend, elsewhere the lowest number
    ends: NotRequired[torch.Tensor]  # (B, T), see ``TokenTree.ends``
    lengths: NotRequired[torch.Tensor]  # (B,)
    rows: torch.Tensor  # (N,), the row of each scored token
    places: torch.Tensor  # (N,), the place after which it is predicted


class Batch(Inputs):
    """Rows as tensors, with the scored tokens, each chosen from up to K options.

    ``labels`` and ``shift_labels`` are two names for the targets: transformers counts the targets of an accumulated
    batch by them.
    """

    labels: torch.Tensor  # (N,)
    shift_labels: torch.Tensor  # (N,)
    options: torch.Tensor  # (N, K), filled up with IGNORED; all IGNORED for the whole vocabulary
    weights: torch.Tensor  # (N,)
    spans: torch.Tensor  # (N,), the span of each scored token
    roles: torch.Tensor  # (S,), the role of each of the S spans, as its place in ROLES
    pairs: torch.Tensor  # (P, 2), the chosen and the rejected span of each step that has both
    reference: NotRequired[torch.Tensor]  # (N,), log-probabilities under the reference model


@dataclass(frozen=True, slots=True)
class Score:
    """The log-probabilities (nats) of the scored tokens of a row, one tuple per span."""

    spans: tuple[tuple[float, ...], ...]

    def total(self, index: int) -> float:
        """Return the log-probability of the span at ``index``."""
        return sum(self.spans[index])


def collate(rows: Sequence[Row], *, pad_id: int, dtype: torch.dtype | None, one_pass: bool = True) -> Batch:
    """Return ``rows`` as a batch.

    Args:
        rows: Token trees with the spans to score.
        pad_id: Token id for padding.
        dtype: Type of the attention mask; None for a batch without one.
        one_pass: Whether the model scores all branches of a row in one pass, under a mask. Otherwise each branch
            becomes a plain sequence.
    """
    spans = [span for row in rows for span in row.spans]
    targets_N = _joined([span.targets for span in spans])
    inputs = _trees(rows, pad_id=pad_id, dtype=dtype) if one_pass else _sequences(rows, pad_id=pad_id)
    fields = {
        "labels": targets_N,
        "shift_labels": targets_N,
        "options": options_tensor(spans),
        "weights": torch.tensor([span.weight for span in spans for _ in span.places]),
        "spans": _joined([(index,) * len(span.places) for index, span in enumerate(spans)]),
        "roles": torch.tensor([ROLES.index(span.role) for span in spans], dtype=torch.long),
        "pairs": torch.tensor(_pairs(rows), dtype=torch.long).reshape(-1, 2),
    }
    if any(span.reference for span in spans):
        fields["reference"] = torch.tensor([value for span in spans for value in span.reference])
    return cast("Batch", {**inputs, **fields})


def _pairs(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return the places, among the spans of all ``rows``, of the chosen and the rejected span of each step."""
    pairs = []
    first = 0
    for row in rows:
        chosen = {span.step: first + index for index, span in enumerate(row.spans) if span.role is Role.CHOSEN}
        pairs += [
            (chosen[span.step], first + index)
            for index, span in enumerate(row.spans)
            if span.role is Role.REJECTED and span.step in chosen
        ]
        first += len(row.spans)
    return pairs


def visible(ends_T: torch.Tensor) -> torch.Tensor:
    """Return which tokens of a tree each token sees, itself included, as a mask (T, T); see ``TokenTree.ends``.

    Ends of B trees, of shape (B, T), give a mask (B, T, T).
    """
    places_T = torch.arange(ends_T.shape[-1], device=ends_T.device)
    return (places_T[:, None] >= places_T) & (places_T[:, None] < ends_T[..., None, :])


def attention_mask(ends: Sequence[int], length: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask (1, length, length) of a tree that is padded to ``length``.

    Padding goes on behind the last token, so that no token sees it.
    """
    ends_BT = _padded_ends(ends, length)[None]
    return dense_mask(ends_BT, torch.zeros_like(ends_BT), None, dtype)[0]


def dense_mask(
    ends_BT: torch.Tensor, positions_BT: torch.Tensor, window: int | None, dtype: torch.dtype
) -> torch.Tensor:
    """Return the additive mask (B, 1, T, T) of trees, in which a token sees ``window`` positions back, itself included.

    None is for no such limit.
    """
    visible_BTT = visible(ends_BT)
    if window is not None:
        visible_BTT &= positions_BT[:, :, None] - positions_BT[:, None] < window
    return torch.zeros_like(visible_BTT, dtype=dtype).masked_fill(~visible_BTT, torch.finfo(dtype).min)[:, None]


def _padded_ends(ends: Sequence[int], length: int) -> torch.Tensor:
    return torch.tensor([*(length if end == len(ends) else end for end in ends), *[length] * (length - len(ends))])


def score_batch(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the log-probability (nats) of each scored token of ``batch``, of shape (N,)."""
    return target_logprobs(batch_logits(model, batch), batch["labels"], batch["options"])


def batch_logits(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the logits at the place of each scored token of ``batch``, of shape (N, V).

    The head of the model computes logits only at places where a token is scored.
    """
    if "lengths" in batch:
        return _sequence_logits(model, batch)
    kept_T, index_N = torch.unique(batch["places"], return_inverse=True)
    logits_BTV: torch.Tensor = model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=_masks(model, batch),
        use_cache=False,
        logits_to_keep=kept_T,
    ).logits
    return logits_BTV[batch["rows"], index_N]


def _masks(model: torch.nn.Module, batch: Batch) -> "_Mask | dict[str, _Mask]":
    """Return the mask of ``batch`` in the form that the model's attention takes, or one for each type of its layers."""
    inner: Any = getattr(model, "module", model)  # what a wrapper for several devices holds
    config = inner.config.get_text_config()
    window = sliding_window(config)
    if "attention_mask" in batch and window is None:
        return batch["attention_mask"]

    def make(window: int | None) -> "_Mask":
        if inner.config._attn_implementation == FLEX:
            return block_mask(batch["ends"], batch["position_ids"], window)
        return dense_mask(batch["ends"], batch["position_ids"], window, inner.dtype)

    if window is not None and len(set(getattr(config, "layer_types", None) or ())) > 1:
        return {"full_attention": make(None), "sliding_attention": make(window)}
    return make(window)


def sliding_window(config: PretrainedConfig) -> int | None:
    """Return how many positions back layers with a sliding window see; None if there are none."""
    if set(getattr(config, "layer_types", None) or ()) == {"full_attention"}:
        return None
    window: int | None = getattr(config, "sliding_window", None) or None
    return window


def _sequence_logits(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the logits (N, V) of a batch of plain sequences, each read alone in the model's own forward pass.

    While training, a sequence is read again in the backward pass, so that a batch needs the memory of one sequence.
    """
    keeps = _keeps_logits(model)

    def read(ids_T: torch.Tensor, places_N: torch.Tensor) -> torch.Tensor:
        if keeps:
            logits_NV: torch.Tensor = model(input_ids=ids_T[None], use_cache=False, logits_to_keep=places_N).logits[0]
        else:
            logits_NV = model(input_ids=ids_T[None], use_cache=False).logits[0, places_N]
        return logits_NV

    parts, order = [], []
    for row, length in enumerate(batch["lengths"].tolist()):
        own_N = torch.nonzero(batch["rows"] == row)[:, 0]
        inputs = batch["input_ids"][row, :length], batch["places"][own_N]
        parts.append(checkpoint(read, *inputs, use_reentrant=False) if torch.is_grad_enabled() else read(*inputs))
        order.append(own_N)
    return torch.cat(parts)[torch.cat(order).argsort()]


def _keeps_logits(model: torch.nn.Module) -> bool:
    """Return whether the model can compute logits at some places only."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return "logits_to_keep" in inspect.signature(base.forward).parameters


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


def _trees(rows: Sequence[Row], *, pad_id: int, dtype: torch.dtype | None) -> Inputs:
    """Return the token trees of ``rows`` with positions and, for a ``dtype``, a mask."""
    length = max(len(row.tree) for row in rows)
    spans = [(index, span) for index, row in enumerate(rows) for span in row.spans]
    ends_BT = torch.stack([_padded_ends(row.tree.ends, length) for row in rows])
    positions_BT = _padded([row.tree.depths for row in rows], length, 0)
    inputs: Inputs = {
        "input_ids": _padded([row.tree.tokens for row in rows], length, pad_id),
        "position_ids": positions_BT,
        "ends": ends_BT,
        "rows": _joined([(index,) * len(span.places) for index, span in spans]),
        "places": _joined([span.places for _, span in spans]),
    }
    if dtype is not None:
        inputs["attention_mask"] = dense_mask(ends_BT, positions_BT, None, dtype)
    return inputs


def _sequences(rows: Sequence[Row], *, pad_id: int) -> Inputs:
    """Return a plain sequence for each branch of each row.

    A branch that only begins another one shares its sequence.
    """
    sequences: list[list[int]] = []
    owners: list[int] = []
    places: list[int] = []
    for row in rows:
        tree = row.tree
        leaves: dict[int, int] = {}
        of_place: dict[int, int] = {}
        for place in sorted({place for span in row.spans for place in span.places}, reverse=True):
            leaf = next((leaf for leaf in leaves if place <= leaf < tree.ends[place]), place)
            if leaf == place:
                leaves[leaf] = len(sequences)
                sequences.append([tree.tokens[before] for before in _path(tree, leaf)])
            of_place[place] = leaves[leaf]
        owners += [of_place[place] for span in row.spans for place in span.places]
        places += [tree.depths[place] for span in row.spans for place in span.places]
    lengths = [len(sequence) for sequence in sequences]
    return {
        "input_ids": _padded(sequences, max(lengths), pad_id),
        "lengths": torch.tensor(lengths),
        "rows": torch.tensor(owners),
        "places": torch.tensor(places),
    }


def _path(tree: TokenTree, place: int) -> list[int]:
    """Return the places from the beginning of ``tree`` to ``place``."""
    path = []
    while place != ROOT:
        path.append(place)
        place = tree.parents[place]
    return path[::-1]


def _padded(sequences: Sequence[Sequence[int]], length: int, fill: int) -> torch.Tensor:
    return torch.tensor([[*sequence, *[fill] * (length - len(sequence))] for sequence in sequences])


def _joined(sequences: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.tensor(list(chain.from_iterable(sequences)), dtype=torch.long)
