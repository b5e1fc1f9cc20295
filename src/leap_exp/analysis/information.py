"""Information: the part of a correction that no student can realize.

The teacher's action A depends on the history h and on hidden facts F. How much of it h leaves open is the conditional
mutual information

    I(A; F | h) = H(A | h) - H(A | F, h)   [nats]

and, since the oracle's action is a function of F and h, I(A; F | h) = H(A | h), the entropy of its action over the
worlds that are consistent with h. It is 0 where all consistent worlds lead to the same action, and log k where k
actions are equally likely. No policy of the history is nearer to the teacher at h than

    floor(h) = min_p E_F[‖δ_A - p‖_1] = 2·(1 - max_a P(A = a | h))   [in [0, 2]]

whose mean over the steps of a sample is the irreducible part of its realizability gap ε.

The worlds and their probabilities come from the environment (``Environment.consistent_worlds``). Where there are too
many they are drawn, and Miller and Madow's correction (K - 1)/(2n) of the entropy of n draws with K different actions
is added (Miller 1955).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.core.environments import Environment
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, View, views


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInformation:
    """What the history of one step leaves open of the teacher's action.

    Attributes:
        depth: Index of the step in its trajectory.
        worlds: Consistent worlds that were looked at.
        is_exact: Whether these are all of them.
        nats: I(A; F | h).
        floor: The least L1 distance of a policy of the history, in [0, 2].
        teacher_probability: P(A = a | h) of the action that the teacher took.
        is_changed: Whether the teacher changed the step.
    """

    depth: int
    worlds: int
    is_exact: bool
    nats: float
    floor: float
    teacher_probability: float
    is_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthInformation:
    """Means over the steps of one depth, or of all (None); ``changed_nats`` is over the changed ones, None without."""

    depth: int | None
    steps: int
    exact_share: float
    nats: float
    floor: float
    teacher_probability: float
    changed_nats: float | None


def step_information(
    environment: Environment, correction: Correction, *, limit: int, seed: int
) -> list[StepInformation]:
    """Return the information at each learnt step of a correction; none if the environment has no consistent worlds.

    Args:
        environment: Its oracles tell what the teacher would do in each world.
        correction: The disclosure of its briefing is that of the teacher. Without facts, the information is 0.
        limit: The most worlds to look at in each step.
        seed: Seed of what is drawn.
    """
    found = []
    seen = views(correction.trajectory)
    for depth in correction.judged_steps:
        own = correction.trajectory.steps[depth].action
        shares = action_shares(
            environment, seen[depth], correction.briefing.disclosure, taken=own, limit=limit, seed=seed
        )
        if shares is None:
            return []
        found.append(
            StepInformation(
                depth=depth,
                worlds=shares.worlds,
                is_exact=shares.is_exact,
                nats=entropy(list(shares.by_action.values()), draws=None if shares.is_exact else shares.worlds),
                floor=2.0 * max(0.0, 1.0 - max(shares.by_action.values())),
                teacher_probability=shares.by_action.get(correction.decisions[depth].action, 0.0),
                is_changed=correction.changed[depth],
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionShares:
    """P(A = a | h) by action, the number of worlds that it is from, and whether these are all consistent ones."""

    by_action: dict[str, float]
    worlds: int
    is_exact: bool


def action_shares(
    environment: Environment, view: View, disclosure: Disclosure, *, taken: str | None, limit: int, seed: int
) -> ActionShares | None:
    """Return how likely the oracle takes each action over the worlds that are consistent with ``view``.

    ``taken`` is the student's own action, as in ``Oracle.decide``. None if the environment has no consistent worlds.
    """
    worlds = environment.consistent_worlds(view, limit=limit, seed=seed)
    if worlds is None:
        return None
    shares: dict[str, float] = defaultdict(float)
    for oracle, probability in zip(worlds.oracles, worlds.probabilities, strict=True):
        shares[oracle.decide(view, disclosure, seed=seed, taken=taken).action] += probability
    return ActionShares(by_action=dict(shares), worlds=len(worlds.oracles), is_exact=worlds.is_exact)


def entropy(probabilities: Sequence[float], *, draws: int | None = None) -> float:
    """Return the entropy (nats) of a distribution; with Miller and Madow's correction, of ``draws``."""
    likely = [share for share in probabilities if share > 0.0]
    correction = (len(likely) - 1) / (2 * draws) if draws else 0.0
    return max(0.0, -sum(share * math.log(share) for share in likely)) + correction


def information(steps: Sequence[StepInformation]) -> list[DepthInformation]:
    """Return the means over all steps, and then at each depth; nothing without steps."""
    if not steps:
        return []
    depths = sorted({step.depth for step in steps})
    return [_mean(None, steps), *(_mean(depth, [step for step in steps if step.depth == depth]) for depth in depths)]


def _mean(depth: int | None, steps: Sequence[StepInformation]) -> DepthInformation:
    changed = [step.nats for step in steps if step.is_changed]
    return DepthInformation(
        depth=depth,
        steps=len(steps),
        exact_share=fmean(step.is_exact for step in steps),
        nats=fmean(step.nats for step in steps),
        floor=fmean(step.floor for step in steps),
        teacher_probability=fmean(step.teacher_probability for step in steps),
        changed_nats=fmean(changed) if changed else None,
    )
