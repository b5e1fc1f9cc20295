"""Exact labels of the steps of a trajectory, where the environment's oracle knows what each action costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from leap_exp.analysis.recoverability import Values, action_values, own_cost
from leap_exp.core.environments import Environment
from leap_exp.core.types import Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLabel:
    """What an action has cost, in steps of a shortest solution; None where it is unknown.

    Attributes:
        steps_left: Steps that a shortest solution takes from before the action; None if there is none any more.
        wasted_steps: How many more it takes after the action than after the best one: 0 for a best action, 1 for one
            that changes nothing. None if the action makes the task impossible.
    """

    steps_left: int | None = None
    wasted_steps: int | None = None

    @property
    def is_best(self) -> bool | None:
        """Whether no action would have been better; None where that is unknown."""
        return None if self.steps_left is None else self.wasted_steps == 0


def step_labels(environment: Environment, trajectory: Trajectory) -> Sequence[StepLabel]:
    """Return the label of each step of ``trajectory``.

    An inadmissible action costs a step and changes nothing.
    """
    return list(map(_label, action_values(environment, trajectory), trajectory.steps))


def _label(values: Values, step: Step) -> StepLabel:
    cost = own_cost(values, step)
    if cost is None:
        return StepLabel()
    return StepLabel(steps_left=round(1 - max(values.values())), wasted_steps=None if math.isinf(cost) else round(cost))
