"""Critical steps: those of a trajectory at which a wrong action costs much, so that a label is worth its price.

The cost of a student's action is exact where the environment's oracle knows how many steps are left after each action
(``Oracle.action_values``). Where it does not, the student's uncertainty about its action takes the place of the cost.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from leap_exp.analysis.recoverability import action_values, own_cost
from leap_exp.core.environments import Environment
from leap_exp.core.protocols import Student
from leap_exp.core.types import Step, Trajectory, View, views


class Uncertainty(StrEnum):
    """How uncertain a student is about its action, in [0, 1]."""

    ENTROPY = "entropy"
    """The entropy of its distribution over the admissible actions, divided by that of the uniform one."""
    MARGIN = "margin"
    """1 minus the difference between the probabilities of its two likeliest actions."""


def critical_steps(
    environment: Environment,
    student: Student,
    trajectories: Sequence[Trajectory],
    *,
    with_facts: bool,
    min_cost: float,
    uncertainty: Uncertainty,
    min_uncertainty: float,
) -> list[list[int]]:
    """Return the critical steps of each trajectory.

    Args:
        environment: Its oracle tells what an action costs.
        student: Who acted; asked for its probabilities where the oracle does not know.
        trajectories: What the student did.
        with_facts: Whether privileged facts may be used, on which the oracle's costs rest.
        min_cost: Lowest cost of a critical step, in steps.
        uncertainty: The measure of uncertainty.
        min_uncertainty: Lowest uncertainty of a critical step. A step at which the student cannot be uncertain among
            listed actions, because any text is an action there, is critical.
    """
    costs = [_own_costs(environment, each) if with_facts else [None] * len(each.steps) for each in trajectories]
    critical = [[cost is not None and cost >= min_cost for cost in of_steps] for of_steps in costs]
    for places, batch, steps in _unknown(trajectories, costs):
        actions = [view.observation.admissible_actions or () for view in batch]
        scored = [place for place, view in enumerate(batch) if view.observation.query_action is None]
        logprobs = student.local.action_logprobs(
            [batch[place] for place in scored],
            [actions[place] for place in scored],
            reasons=[steps[place].decision.reason for place in scored],
        )
        for place, of_actions in zip(scored, logprobs, strict=True):
            trajectory, index = places[place]
            critical[trajectory][index] = uncertainty_of(of_actions, uncertainty) >= min_uncertainty
        for place in set(range(len(batch))) - set(scored):
            trajectory, index = places[place]
            critical[trajectory][index] = True
    return [[index for index, is_critical in enumerate(each) if is_critical] for each in critical]


def uncertainty_of(logprobs: Mapping[str, float], measure: Uncertainty) -> float:
    """Return the uncertainty, in [0, 1], of a choice among actions with these log-probabilities (up to a constant)."""
    if len(logprobs) < 2:
        return 0.0
    highest = max(logprobs.values())
    weights = [math.exp(value - highest) for value in logprobs.values()]
    shares = sorted((weight / sum(weights) for weight in weights), reverse=True)
    if measure is Uncertainty.MARGIN:
        return 1.0 - (shares[0] - shares[1])
    return -sum(share * math.log(share) for share in shares if share > 0.0) / math.log(len(shares))


def _own_costs(environment: Environment, trajectory: Trajectory) -> list[float | None]:
    """Return how many more steps each action costs than the best one; None where the oracle does not know."""
    return list(map(own_cost, action_values(environment, trajectory), trajectory.steps))


def _unknown(
    trajectories: Sequence[Trajectory], costs: Sequence[Sequence[float | None]]
) -> Iterator[tuple[list[tuple[int, int]], list[View], list[Step]]]:
    """Yield the steps without a cost, all first ones, then all second ones, and so on, as a key-value cache likes."""
    seen = [views(trajectory) for trajectory in trajectories]
    for index in range(max(map(len, costs), default=0)):
        places = [(place, index) for place, each in enumerate(costs) if index < len(each) and each[index] is None]
        if places:
            steps = [trajectories[place].steps[index] for place, _ in places]
            yield places, [seen[place][index] for place, _ in places], steps
