"""The bound: how good the best of the trained students must be (Choudhury & Sodhi 2025, the theorem on LEAP).

With N students π_1 .. π_N, a teacher π^E that knows the state s, and students that know the visible history h:

    max_i J(π_i)/T  ≥  J(π^E)/T - H(π^E)·ε(π^E, T) - gamma(N)

- J(π): expected sum of rewards of an episode of T steps.
- H(π^E): recoverability, the maximum over steps, reachable states and admissible actions of |A^E|. A^E = Q^E - V^E is
  what the action costs if the teacher goes on. The unit is that of J.
- L_i(π) = (1/T)·Σ_t E_{s ~ π_i}[‖π^E(·|s) - π(·|h)‖_1], in [0, 2]: how far π is from the teacher where π_i goes.
- ε(π^E, T) = min_π (1/N)·Σ_i L_i(π): the realizability gap that no policy of the history can close.
- gamma(N) = H·[(1/N)·Σ_i L_i(π_i) - ε]: the average regret of the students, in the unit of J per step.

Why it holds: by the performance difference lemma J(π^E) - J(π_i) = Σ_t E_{π_i}[Σ_a (π^E(a|s) - π_i(a|h))·A^E(s, a)]
≤ T·H·L_i(π_i), and the best student is at least as good as the mean. Steps after the end of an episode add nothing.

docs/measures.md says how this relates to the paper's wording, which has J of a best policy π* in place of J(π^E): where
the teacher is at least as good as π*, as one that knows more and acts well is, that inequality follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.optimize import linprog

from leap_exp.analysis.tabular import Array, TabularWorld, action_values, best_visible_return, expected_return, visits

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRow:
    """The bound after a number of rounds.

    Attributes:
        rounds: N.
        best_return: max_i J(π_i).
        teacher_return: J(π^E).
        best_visible_return: J(π*) of the best policy of the history; None if unknown.
        recoverability: H, in the unit of J.
        losses: L_i(π_i) of each student, in [0, 2].
        epsilon: ε, in [0, 2].
        gamma: gamma, in the unit of J per step.
        right: The right side, J(π^E)/T - H·ε - gamma.
        slack: The left side minus the right one, at least 0 if the inequality holds.
        holds: Whether it holds, to 1e-9.
        lemma_error: The largest error of the performance difference lemma over the students; 0 up to rounding in an
            exact world, None for an estimate.
    """

    rounds: int
    best_return: float
    teacher_return: float
    best_visible_return: float | None
    recoverability: float
    losses: tuple[float, ...]
    epsilon: float
    gamma: float
    right: float
    slack: float
    holds: bool
    lemma_error: float | None = None


def tabular_bound(world: TabularWorld, teacher: Array, students: Sequence[Array]) -> list[BoundRow]:
    """Return the exact bound after each of the rounds 1 .. N.

    Args:
        world: The world.
        teacher: The teacher's policy, (S, A) or (T, S, A).
        students: The policies of π_1 .. π_N, (V, A) or (T, V, A). ε is the minimum over all policies of that shape.
    """
    teacher_TSA = world.teacher(teacher)
    values_TS, values_TSA = action_values(world, teacher_TSA)
    advantages_TSA = np.where(world.admissible_SA, values_TSA - values_TS[:-1, :, None], 0.0)
    recoverability = float(np.abs(advantages_TSA[_reachable(world)]).max(initial=0.0))
    teacher_return = float(world.start_S @ values_TS[0])
    best = best_visible_return(world)
    rows, returns, losses, errors = [], [], [], []
    weights_TS = np.zeros_like(values_TS[:-1])
    for student in students:
        student_TSA = world.student(student)
        visits_TS = visits(world, student_TSA)
        weights_TS = weights_TS + visits_TS
        returns.append(expected_return(world, student_TSA))
        losses.append(float((visits_TS * _distance(teacher_TSA, student_TSA)).sum()) / world.horizon)
        predicted = float((visits_TS * (student_TSA * advantages_TSA).sum(axis=-1)).sum())
        errors.append(abs(returns[-1] - teacher_return - predicted))
        count = len(returns)
        epsilon = _least_loss(world, teacher_TSA, weights_TS / count, by_step=student.ndim == 3)
        rows.append(
            _row(
                returns=returns,
                teacher_return=teacher_return,
                best_visible=best,
                recoverability=recoverability,
                losses=losses,
                epsilon=epsilon,
                horizon=world.horizon,
                lemma_error=max(errors),
            )
        )
    return rows


def estimated_bound(
    returns: Sequence[float],
    losses: Sequence[float],
    *,
    teacher_return: float,
    recoverability: float,
    epsilon: float,
    horizon: int,
) -> BoundRow:
    """Return the bound from estimates of its terms, for an environment that cannot be enumerated.

    Args:
        returns: J of each student, such as its success rate.
        losses: L_i of each student: ``epsilon_before`` of its own rollouts, as the next round corrects them.
        teacher_return: J of the teacher, in the same unit.
        recoverability: H in the same unit. The largest value of a sample is a lower estimate.
        epsilon: ε, the mean of ``floor`` of the measure of information, or an upper estimate.
        horizon: T.
    """
    return _row(
        returns=returns,
        teacher_return=teacher_return,
        best_visible=None,
        recoverability=recoverability,
        losses=losses,
        epsilon=min(epsilon, fmean(losses)),
        horizon=horizon,
        lemma_error=None,
    )


def _row(
    *,
    returns: Sequence[float],
    teacher_return: float,
    best_visible: float | None,
    recoverability: float,
    losses: Sequence[float],
    epsilon: float,
    horizon: int,
    lemma_error: float | None,
) -> BoundRow:
    gamma = recoverability * (fmean(losses) - epsilon)
    right = teacher_return / horizon - recoverability * epsilon - gamma
    slack = max(returns) / horizon - right
    return BoundRow(
        rounds=len(returns),
        best_return=max(returns),
        teacher_return=teacher_return,
        best_visible_return=best_visible,
        recoverability=recoverability,
        losses=tuple(losses),
        epsilon=epsilon,
        gamma=gamma,
        right=right,
        slack=slack,
        holds=slack >= -_TOLERANCE,
        lemma_error=lemma_error,
    )


def _reachable(world: TabularWorld) -> Array:
    """Return which states some policy can be in before each step, (T, S)."""
    allowed_SA = world.admissible_SA / np.maximum(world.admissible_SA.sum(axis=-1, keepdims=True), 1)
    reached: Array = visits(world, world.teacher(allowed_SA)) > 0.0
    return reached


def _distance(first_TSA: Array, second_TSA: Array) -> Array:
    distance_TS: Array = np.abs(first_TSA - second_TSA).sum(axis=-1)
    return distance_TS


def _least_loss(world: TabularWorld, teacher_TSA: Array, weights_TS: Array, *, by_step: bool) -> float:
    """Return the least weighted L1 distance to the teacher, per step, of any policy of the visible state."""
    total = 0.0
    for visible in np.unique(world.visible_S):
        sees_S = world.visible_S == visible
        policies_TSA, seen_TS = teacher_TSA[:, sees_S], weights_TS[:, sees_S]
        groups = zip(policies_TSA, seen_TS, strict=True) if by_step else [(policies_TSA, seen_TS)]
        for policies, weights in groups:
            is_seen = weights > 0.0
            if is_seen.any():
                total += _nearest(policies[is_seen], weights[is_seen])
    return total / world.horizon


def _nearest(policies_NA: Array, weights_N: Array) -> float:
    """Return min over distributions p of Σ_n w_n·‖policies_n - p‖_1."""
    if (policies_NA.max(axis=-1) > 1.0 - _TOLERANCE).all():
        # ‖δ_a - p‖_1 = 2·(1 - p(a)), so the likeliest action is the best.
        return 2.0 * float(weights_N.sum() - (weights_N @ policies_NA).max())
    # The policies that differ, with the sum of their weights, keep the linear program small.
    policies_NA, places = np.unique(policies_NA, axis=0, return_inverse=True)
    weights_N = np.bincount(places.ravel(), weights=weights_N)
    count, actions = policies_NA.shape
    # Variables: p (A), then u (N, A) with u ≥ |policies - p|.
    costs = np.concatenate([np.zeros(actions), np.repeat(weights_N, actions)])
    identity = np.eye(count * actions)
    stacked = np.tile(np.eye(actions), (count, 1))
    flat = policies_NA.ravel()
    upper = np.block([[stacked, -identity], [-stacked, -identity]])
    sums_to_one = np.concatenate([np.ones(actions), np.zeros(count * actions)])[None]
    found = linprog(costs, A_ub=upper, b_ub=np.concatenate([flat, -flat]), A_eq=sums_to_one, b_eq=[1.0])
    return float(found.fun)
