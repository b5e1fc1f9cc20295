"""Recoverability: what one wrong step costs if the privileged teacher goes on (H of Choudhury & Sodhi 2025).

The cost of an action is the advantage of the teacher's value, from the oracle's exact cost-to-go: with n(s) the number
of steps left under the teacher and n(s, a) that after taking a,

    cost(s, a) = 1 + n(s, a) - n(s)   [steps; 0 for a best action, infinite if the task cannot be solved any more]

H is the largest cost over states and actions, here over the states that were visited and all admissible actions in
them. The unit of the bound's J is often success, in [0, 1]: then an action costs 1 if it makes a task that could be
solved within the horizon one that cannot, else 0 (``success_costs``).
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.core.environments import Environment
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, Step, Trajectory, views

logger = logging.getLogger(__name__)

Values = Mapping[str, float]
"""Minus the number of steps left after each admissible action, -inf if nothing can be won; empty if not known."""

_IDLE = 1.0
"""The cost of an action that is not carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCosts:
    """What wrong steps cost at one depth, or at all depths together.

    Attributes:
        depth: Index of the step in its trajectory; None for all.
        steps: Steps with known costs.
        mean_steps: Mean cost of an admissible action, without those after which nothing can be won.
        max_steps: H: the largest such cost.
        irrecoverable_share: Share of admissible actions after which the task cannot be solved any more.
        own_mean_steps: Mean cost of the student's own actions, without irrecoverable ones.
        own_wrong_share: Share of the student's own actions that cost something.
        changed: Steps that the teacher changed, with known costs.
        shortened_share: Share of these where the teacher's action leaves a shorter plan than the student's; None
            without any.
        lengthened_share: Share of these where it leaves a longer one.
    """

    depth: int | None
    steps: int
    mean_steps: float
    max_steps: float
    irrecoverable_share: float
    own_mean_steps: float
    own_wrong_share: float
    changed: int
    shortened_share: float | None
    lengthened_share: float | None


def action_values(environment: Environment, trajectory: Trajectory) -> list[Values]:
    """Return the oracle's value of each admissible action at each step; empty where it does not know."""
    try:
        oracle = environment.oracle(trajectory.task)
        # From P50 on an oracle uses all facts; what it may disclose does not matter here.
        return [oracle.action_values(view, Disclosure.P50) for view in views(trajectory)]
    except Exception as error:  # noqa: BLE001 - one broken task must not cost the others their measures
        logger.warning("%s: no costs of actions: %s: %s", trajectory.task.id, type(error).__name__, error)
        return [{}] * len(trajectory.steps)


def action_costs(values: Values) -> Mapping[str, float]:
    """Return the cost of each admissible action, in steps; empty if it is not known, or if nothing can be won."""
    best = max(values.values(), default=-math.inf)
    return {} if math.isinf(best) else {action: best - value for action, value in values.items()}


def own_cost(values: Values, step: Step) -> float | None:
    """Return the cost of the action that was taken at ``step``; one that is not carried out costs a step."""
    costs = action_costs(values)
    return costs.get(step.action, _IDLE) if costs else None


def recoverability(corrections: Sequence[Correction], values: Sequence[Sequence[Values]]) -> list[DepthCosts]:
    """Return what steps cost over all depths, and then at each depth; nothing if no cost is known.

    Args:
        corrections: The corrected trajectories.
        values: ``action_values`` of each trajectory.
    """
    found: dict[int, list[_StepCosts]] = {}
    for correction, of_steps in zip(corrections, values, strict=True):
        for depth, known in enumerate(map(action_costs, of_steps)):
            if known:
                found.setdefault(depth, []).append(_step_costs(correction, depth, known))
    if not found:
        return []
    everything = [step for steps in found.values() for step in steps]
    return [_depth(None, everything), *(_depth(depth, found[depth]) for depth in sorted(found))]


def success_costs(values: Sequence[Values], *, horizon: int) -> list[dict[str, float]]:
    """Return what each action costs in successes, by step: 1 if it puts success within ``horizon`` steps out of reach.

    With n(s) ≤ T - t before step t, and 1 + n(s, a) > T - t: the teacher's advantage where a success is worth 1.
    """
    return [
        {action: float(_in_reach(best, horizon - t) and not _in_reach(value, horizon - t)) for action, value in of_step}
        for t, (best, of_step) in enumerate((max(each.values(), default=-math.inf), each.items()) for each in values)
    ]


def _in_reach(value: float, steps: int) -> bool:
    """Return whether an action and what is left after it, minus ``value``, fit into ``steps``."""
    return 1.0 - value <= steps


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepCosts:
    admissible: tuple[float, ...]
    own: float
    teachers: float | None
    """None where the teacher changed nothing."""


def _step_costs(correction: Correction, depth: int, known: Mapping[str, float]) -> _StepCosts:
    step = correction.trajectory.steps[depth]
    is_changed = correction.changed[depth] and depth not in correction.context_steps
    return _StepCosts(
        admissible=tuple(known.values()),
        own=known.get(step.action, _IDLE),
        teachers=known.get(correction.decisions[depth].action, _IDLE) if is_changed else None,
    )


def _depth(depth: int | None, steps: Sequence[_StepCosts]) -> DepthCosts:
    everything = [cost for step in steps for cost in step.admissible]
    finite = [cost for cost in everything if math.isfinite(cost)]
    own = [step.own for step in steps]
    finite_own = [cost for cost in own if math.isfinite(cost)]
    changes = [(step.own, step.teachers) for step in steps if step.teachers is not None]
    return DepthCosts(
        depth=depth,
        steps=len(steps),
        mean_steps=fmean(finite),
        max_steps=max(finite),
        irrecoverable_share=1.0 - len(finite) / len(everything),
        own_mean_steps=fmean(finite_own) if finite_own else 0.0,
        own_wrong_share=fmean(cost > 0.0 for cost in own),
        changed=len(changes),
        shortened_share=fmean(teachers < own for own, teachers in changes) if changes else None,
        lengthened_share=fmean(teachers > own for own, teachers in changes) if changes else None,
    )
