"""Realizability: how well a student can follow its teacher (Choudhury & Sodhi 2025).

The paper's ε(π^E, T) is the distance between the action distributions of the privileged teacher and of the best policy
that sees only the history, averaged over the T steps of an episode. Since that best policy is unknown, the trained
student takes its place. The teacher puts all its weight on one action a^E, so the L1 distance to the student's
distribution is 2·(1 - π(a^E | h)); its mean over the steps of held-out corrections is ``epsilon``, in [0, 2].

``epsilon`` also contains what the student has not learned yet, so it is an upper estimate; compare it only between runs
with the same student and amount of data. On the training sample it measures how well the corrections were fitted, not
how realizable they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.core.types import Correction


def measure(
    corrections: Sequence[Correction], before: Sequence[float], after: Sequence[float], *, sample: str
) -> dict[str, float]:
    """Measure how likely the teacher's actions are under the student before and after a round's training.

    Steps that are context only are left out.

    Args:
        corrections: The corrections of the sample, with at least one step.
        before: Log-probability (nats, summed over the action's tokens) of each teacher action under the student before
            training; one value per step, in the order of the corrections and their steps.
        after: The same under the trained student.
        sample: Name of the sample, ``train`` or ``heldout``; part of the metrics' names.

    Returns:
        ``realizability/SAMPLE_...``: ``logprob_before_nats`` and ``logprob_after_nats`` (means over steps, at most 0),
        ``gain_nats`` (after minus before), ``epsilon_before`` and ``epsilon`` (in [0, 2]; see the module), and, if the
        teacher changed any step, ``changed_gain_nats`` over the changed steps.

    Raises:
        ValueError: There are no steps, or not one value for each.
    """
    learnt = [index not in each.context_steps for each in corrections for index in range(len(each.decisions))]
    changed = [each.changed[index] for each in corrections for index in each.learnt_steps]
    if not changed:
        raise ValueError(f"The {sample} sample has no corrected steps, so its realizability cannot be measured.")
    pairs = [(old, new) for old, new, is_learnt in zip(before, after, learnt, strict=True) if is_learnt]
    before, after = [old for old, _ in pairs], [new for _, new in pairs]
    gains = [new - old for old, new in pairs]
    metrics = {
        "logprob_before_nats": fmean(before),
        "logprob_after_nats": fmean(after),
        "gain_nats": fmean(gains),
        "epsilon_before": _l1_gap(before),
        "epsilon": _l1_gap(after),
    }
    if any(changed):
        metrics["changed_gain_nats"] = fmean(gain for gain, mark in zip(gains, changed, strict=True) if mark)
    return {f"realizability/{sample}_{name}": value for name, value in metrics.items()}


def agreement(corrections: Sequence[Correction]) -> dict[str, float]:
    """Measure how often teacher and student agree, over the student's own steps that the teacher judged.

    Returns:
        ``realizability/agreement_share``, the share of steps where both took the same action, and
        ``realizability/changed_share``, the share of steps that the teacher marked as changed. Nothing without steps.
    """
    # Of each step only two marks are kept: corrections may be read from the run folder as they are used.
    judged = [(each.changed[index], _agree(each, index)) for each in corrections for index in each.judged_steps]
    if not judged:
        return {}
    marks, same = zip(*judged, strict=True)
    return {"realizability/agreement_share": fmean(same), "realizability/changed_share": fmean(marks)}


def _agree(correction: Correction, index: int) -> bool:
    """Return whether teacher and student took the same action at a step."""
    step = correction.trajectory.steps[index]
    return correction.decisions[index].action in (step.action, step.decision.action)


def _l1_gap(logprobs: Sequence[float]) -> float:
    """Return the mean L1 distance between a point mass on the teacher's action and the student's distribution."""
    return fmean(2.0 * (1.0 - math.exp(logprob)) for logprob in logprobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthRealizability:
    """How well one sample was followed at one depth, or at all (None).

    Attributes:
        depth: Index of the step in its trajectory.
        steps: Learnt steps.
        logprob_before_nats: Mean log-probability of the teacher's decision before the round's training.
        logprob_after_nats: The same after it.
        epsilon_before: Mean of 2·(1 - π(a^E | h)) before training, in [0, 2]; half of it is the total variation.
        epsilon: The same after it.
        changed_share: Share of the steps that the teacher changed.
    """

    depth: int | None
    steps: int
    logprob_before_nats: float
    logprob_after_nats: float
    epsilon_before: float
    epsilon: float
    changed_share: float


def by_depth(
    corrections: Sequence[Correction], before: Sequence[float], after: Sequence[float]
) -> list[DepthRealizability]:
    """Return the realizability over all learnt steps, and then at each depth; arguments as in ``measure``."""
    places = [(each, index) for each in corrections for index in range(len(each.decisions))]
    found: dict[int, list[tuple[float, float, bool]]] = {}
    for (correction, index), old, new in zip(places, before, after, strict=True):
        if index not in correction.context_steps:
            found.setdefault(index, []).append((old, new, correction.changed[index]))
    if not found:
        return []
    everything = [step for steps in found.values() for step in steps]
    return [_at_depth(None, everything), *(_at_depth(depth, found[depth]) for depth in sorted(found))]


def _at_depth(depth: int | None, steps: Sequence[tuple[float, float, bool]]) -> DepthRealizability:
    before, after, changed = zip(*steps, strict=True)
    return DepthRealizability(
        depth=depth,
        steps=len(steps),
        logprob_before_nats=fmean(before),
        logprob_after_nats=fmean(after),
        epsilon_before=_l1_gap(before),
        epsilon=_l1_gap(after),
        changed_share=fmean(changed),
    )
