"""Distances between two distributions over the actions of one step, given as log-probabilities (nats)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.core.types import Correction

Logprobs = Mapping[str, float]
"""Log-probability of each action; they need not be normalised, and an action that is left out is impossible."""

TOP_K = 3


def log_normalised(logprobs: Logprobs) -> dict[str, float]:
    """Return the log-probabilities with a constant added, so that the probabilities add up to 1."""
    highest = max(logprobs.values())
    total = highest + math.log(sum(math.exp(value - highest) for value in logprobs.values()))
    return {action: value - total for action, value in logprobs.items()}


def normalised(logprobs: Logprobs) -> dict[str, float]:
    """Return the probabilities of the actions, which add up to 1."""
    return {action: math.exp(value) for action, value in log_normalised(logprobs).items()}


def rank(logprobs: Logprobs, action: str) -> int:
    """Return the place of ``action`` among all, from 1 for the likeliest; equal ones share the best place."""
    own = logprobs.get(action, -math.inf)
    return 1 + sum(value > own for value in logprobs.values())


def total_variation(first: Logprobs, second: Logprobs) -> float:
    """Return (1/2)·Σ_a |p(a) - q(a)|, in [0, 1]."""
    p, q = normalised(first), normalised(second)
    return 0.5 * sum(abs(p.get(action, 0.0) - q.get(action, 0.0)) for action in p.keys() | q.keys())


def kl_divergence(first: Logprobs, second: Logprobs) -> float:
    """Return KL(p ‖ q) = Σ_a p(a)·ln(p(a)/q(a)), in nats; infinite where q rules out what p does not."""
    p, q = log_normalised(first), log_normalised(second)
    # In logarithms, because a small probability that is rounded to 0 does not make the divergence infinite.
    terms = (math.exp(value) * (value - q.get(action, -math.inf)) for action, value in p.items() if math.exp(value))
    return max(0.0, sum(terms))


def top_k_overlap(first: Logprobs, second: Logprobs, *, k: int = TOP_K) -> float:
    """Return the share of the ``k`` likeliest actions that both have, in [0, 1]; of fewer actions, all count."""
    tops = [set(sorted(each, key=lambda action: (-each[action], action))[:k]) for each in (first, second)]
    return len(tops[0] & tops[1]) / max(map(len, tops))


def agree(first: Logprobs, second: Logprobs) -> bool:
    """Return whether both find the same action likeliest; of equal ones the first in alphabetical order counts."""
    likeliest = [min(each, key=lambda action: (-each[action], action)) for each in (first, second)]
    return likeliest[0] == likeliest[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthChange:
    """How a student's distribution over the admissible actions changed in training, at one depth or at all (None).

    Attributes:
        depth: Index of the step in its trajectory.
        steps: Steps that were compared.
        logprob_before_nats: Mean log-probability of the teacher's action before training; ``after`` likewise.
        rank_before: Mean rank of the teacher's action, from 1; ``after`` likewise.
        total_variation: Mean distance between the distributions before and after, in [0, 1].
        kl_nats: Mean KL(after ‖ before).
        top_k_overlap: Mean share of the three likeliest actions that both have.
        agreement_before: Share of steps where the student's likeliest action is the teacher's; ``after`` likewise.
    """

    depth: int | None
    steps: int
    logprob_before_nats: float
    logprob_after_nats: float
    rank_before: float
    rank_after: float
    total_variation: float
    kl_nats: float
    top_k_overlap: float
    agreement_before: float
    agreement_after: float


def changes(
    corrections: Sequence[Correction], before: Sequence[Sequence[Logprobs]], after: Sequence[Sequence[Logprobs]]
) -> list[DepthChange]:
    """Return how distributions changed over all learnt steps, and then at each depth.

    Args:
        corrections: The sample.
        before: Log-probabilities of the admissible actions at each step of each correction, before training; empty
            where there are none. Steps without them, or without the teacher's action among them, are left out.
        after: The same after training.
    """
    found: dict[int, list[tuple[str, Logprobs, Logprobs]]] = {}
    for correction, of_old, of_new in zip(corrections, before, after, strict=True):
        for depth in correction.learnt_steps:
            action, old, new = correction.decisions[depth].action, of_old[depth], of_new[depth]
            if action in old and action in new:
                found.setdefault(depth, []).append((action, old, new))
    if not found:
        return []
    everything = [step for steps in found.values() for step in steps]
    return [_change(None, everything), *(_change(depth, found[depth]) for depth in sorted(found))]


def _change(depth: int | None, steps: Sequence[tuple[str, Logprobs, Logprobs]]) -> DepthChange:
    return DepthChange(
        depth=depth,
        steps=len(steps),
        logprob_before_nats=fmean(log_normalised(old)[action] for action, old, _ in steps),
        logprob_after_nats=fmean(log_normalised(new)[action] for action, _, new in steps),
        rank_before=fmean(rank(old, action) for action, old, _ in steps),
        rank_after=fmean(rank(new, action) for action, _, new in steps),
        total_variation=fmean(total_variation(old, new) for _, old, new in steps),
        kl_nats=fmean(kl_divergence(new, old) for _, old, new in steps),
        top_k_overlap=fmean(top_k_overlap(old, new) for _, old, new in steps),
        agreement_before=fmean(rank(old, action) == 1 for action, old, _ in steps),
        agreement_after=fmean(rank(new, action) == 1 for action, _, new in steps),
    )
