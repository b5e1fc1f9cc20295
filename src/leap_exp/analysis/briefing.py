"""Briefing: how the facts in a student's prompt change what it would do.

With p the student's distribution over the admissible actions of a step when it reads the privileged facts, and q the
one without them:

- per turn: KL(p ‖ q) = Σ_a p(a)·ln(p(a)/q(a))  [nats]
- per token: the sum of KL(p ‖ q) over the steps, divided by that of the expected number of tokens, Σ_a p(a)·length(a).
  By the chain rule the first is the sum of the divergences at each token, so this is their mean over tokens.
- total variation (1/2)·Σ_a |p(a) - q(a)|, top-k overlap and agreement, as in ``distributions``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.analysis.distributions import (
    Logprobs,
    agree,
    kl_divergence,
    normalised,
    top_k_overlap,
    total_variation,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefedStep:
    """A step at which a student was asked with and without the facts.

    Attributes:
        depth: Index of the step in its trajectory.
        briefed: Log-probabilities of the admissible actions with the facts.
        unbriefed: The same without them.
        lengths: Tokens of each action.
    """

    depth: int
    briefed: Logprobs
    unbriefed: Logprobs
    lengths: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefingEffect:
    """Means over the steps of one depth, or of all (None); units as in the module."""

    depth: int | None
    steps: int
    kl_nats_per_turn: float
    kl_nats_per_token: float
    total_variation: float
    top_k_overlap: float
    agreement: float


def briefing_effects(steps: Sequence[BriefedStep]) -> list[BriefingEffect]:
    """Return the effect over all steps, and then at each depth; nothing without steps."""
    if not steps:
        return []
    depths = sorted({step.depth for step in steps})
    return [
        _effect(None, steps),
        *(_effect(depth, [step for step in steps if step.depth == depth]) for depth in depths),
    ]


def _effect(depth: int | None, steps: Sequence[BriefedStep]) -> BriefingEffect:
    divergences = [kl_divergence(step.briefed, step.unbriefed) for step in steps]
    return BriefingEffect(
        depth=depth,
        steps=len(steps),
        kl_nats_per_turn=fmean(divergences),
        kl_nats_per_token=sum(divergences) / sum(map(_expected_length, steps)),
        total_variation=fmean(total_variation(step.briefed, step.unbriefed) for step in steps),
        top_k_overlap=fmean(top_k_overlap(step.briefed, step.unbriefed) for step in steps),
        agreement=fmean(agree(step.briefed, step.unbriefed) for step in steps),
    )


def _expected_length(step: BriefedStep) -> float:
    return sum(share * step.lengths[action] for action, share in normalised(step.briefed).items())
