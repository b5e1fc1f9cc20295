"""How far a student can follow its teacher (Choudhury & Sodhi 2025, analysis of privileged experts).

The paper's ε(π^E, T) is the average, over the T steps of an episode, of the distance between the privileged teacher's
action distribution and that of the best policy that sees only the history. That best policy is not at hand, so the
trained student stands in for it: on a held-out correction the teacher puts all its weight on one action a^E, and the
L1 distance from there to the student's distribution is 2·(1 - π(a^E | h)). Its mean over steps is ``epsilon`` here, in
[0, 2]. The student falls short of the best policy by what it has not learnt yet, and that counts in: read the estimate
as an upper one, and compare it only between runs of the same student and amount of data. On the training sample it
says how well the corrections were fitted rather than how realizable they are.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from leap_exp.core.types import Correction


def measure(
    corrections: Sequence[Correction], before: Sequence[float], after: Sequence[float], *, sample: str
) -> dict[str, float]:
    """Likelihood of the teacher's actions under the student before and after a round's training.

    Args:
        corrections: the corrections of the sample; at least one step.
        before: log-probability (nats, summed over the action's tokens) of each teacher action under the student before
            training: one a step, corrections in order and their steps in order.
        after: the same under the trained student.
        sample: which corrections these are, ``train`` or ``heldout``; part of the metrics' names.

    Returns:
        ``realizability/SAMPLE_...``: ``logprob_before_nats`` and ``logprob_after_nats`` (means over steps, at most 0),
        ``gain_nats`` (after minus before), ``epsilon_before`` and ``epsilon`` (in [0, 2]; see the module), and, if the
        teacher changed any step, ``changed_gain_nats`` over those steps alone.
    """
    changed = [mark for correction in corrections for mark in correction.changed]
    if not changed:
        raise ValueError(f"Realizability of the {sample} sample: there are no corrected steps to measure.")
    gains = [late - early for early, late in zip(before, after, strict=True)]
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
    """Shares of steps at which teacher and student agree, for corrections with at least one step.

    Returns:
        ``realizability/agreement_share``: steps where both took the same action; ``realizability/changed_share``: steps
        that the teacher marked as changed.
    """
    marks = [mark for correction in corrections for mark in correction.changed]
    same = [
        step.decision.action == decision.action
        for correction in corrections
        for step, decision in zip(correction.trajectory.steps, correction.decisions, strict=True)
    ]
    return {"realizability/agreement_share": fmean(same), "realizability/changed_share": fmean(marks)}


def _l1_gap(logprobs: Sequence[float]) -> float:
    """Mean L1 distance between a point mass on the teacher's action and the student's distribution."""
    return fmean(2.0 * (1.0 - math.exp(logprob)) for logprob in logprobs)
