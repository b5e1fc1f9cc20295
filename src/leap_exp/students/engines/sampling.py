"""Drawing tokens from logits, in the same way on every device and whatever else is in the batch."""

from collections.abc import Collection, Sequence

import torch

from leap_exp.core.seeding import derive_seed
from leap_exp.tokens.engine import GREEDY, Sampling

_FRACTION_BITS = 53


def uniforms(seeds: Sequence[int], positions: Sequence[int]) -> list[float]:
    """Return one number in [0, 1) for each token to draw, from the seed of its decision and its position.

    Two parts of one decision, such as a reason and an action, are at different positions of the conversation, so each
    number is used once.
    """
    return [
        (derive_seed(seed, "token", position) >> 10) / 2**_FRACTION_BITS
        for seed, position in zip(seeds, positions, strict=True)
    ]


def pick(logits_BV: torch.Tensor, sampling: Sampling, uniforms_B: torch.Tensor | None = None) -> torch.Tensor:
    """Return a token for each row of logits: the likeliest or, at a temperature, the one drawn by ``uniforms_B``.

    It is the first token, in the order of the vocabulary, up to which the probabilities sum to more than the number.
    """
    if is_greedy(sampling):
        return logits_BV.argmax(dim=-1)
    assert uniforms_B is not None  # noqa: S101 - whoever samples gives them
    probs_BV = _kept(logits_BV.float() / sampling.temperature, sampling).softmax(dim=-1)
    sums_BV = probs_BV.double().cumsum(dim=-1)
    places_B1 = torch.searchsorted(sums_BV, uniforms_B.to(sums_BV)[:, None] * sums_BV[:, -1:], right=True)
    return places_B1[:, 0]


def is_greedy(sampling: Sampling) -> bool:
    """Return whether no token is drawn at random."""
    return sampling.temperature == GREEDY.temperature


def pick_children(
    logits_BV: torch.Tensor,
    children: Sequence[Collection[int]],
    sampling: Sampling,
    uniforms_B: torch.Tensor | None,
) -> list[int]:
    """Return a token for each row of logits, among the ``children`` with which it may go on."""
    # Drawn in the order of the vocabulary, which does not depend on the order of the actions.
    options = [list(each) if is_greedy(sampling) else sorted(each) for each in children]
    longest = max(map(len, options))
    padded_BK = torch.tensor([[*each, *[each[0]] * (longest - len(each))] for each in options])
    is_padding_BK = torch.arange(longest) >= torch.tensor(list(map(len, options)))[:, None]
    device = logits_BV.device
    logits_BK = logits_BV.gather(-1, padded_BK.to(device)).masked_fill(is_padding_BK.to(device), -torch.inf)
    chosen = pick(logits_BK, sampling, uniforms_B).tolist()
    return [each[index] for each, index in zip(options, chosen, strict=True)]


def _kept(logits_BV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return logits without the tokens that ``top_k`` and ``top_p`` leave out (Holtzman et al. 2020, section 3)."""
    if sampling.top_k is not None and sampling.top_k < logits_BV.shape[-1]:
        lowest_B1 = logits_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < lowest_B1, -torch.inf)
    if sampling.top_p < 1.0:
        sorted_BV, order_BV = logits_BV.sort(dim=-1, descending=True, stable=True)
        probs_BV = sorted_BV.softmax(dim=-1)
        # What comes before a token decides, so that the likeliest one is always kept.
        is_left_out_BV = probs_BV.cumsum(dim=-1) - probs_BV >= sampling.top_p
        logits_BV = logits_BV.masked_fill(is_left_out_BV.scatter(-1, order_BV, is_left_out_BV), -torch.inf)
    return logits_BV
