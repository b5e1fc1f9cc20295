"""Evaluation protocols: under which conditions other projects measure, so that numbers can be compared with theirs.

docs/protocols.md says where each value is from, and what it does to the policies here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.core.limits import StepLimit
from leap_exp.core.protocols import Policy
from leap_exp.core.types import Decision, DecisionFailure, Task, View
from leap_exp.tokens.renderer import LINES, TAGS, THINK_OR_ACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The conditions of an evaluation.

    Attributes:
        name: The project's name.
        max_steps: Actions after which an episode ends, by environment.
        window: How many of the latest steps are shown besides the current observation; None for all.
        list_actions: Whether the prompt lists the admissible actions.
        wording: Whether ALFWorld's action that puts a thing down is ``put X in/on Y`` or ``move X to Y``.
        answer: The form of answers (``student.answer``).
        source: Where the values are from.
    """

    name: str
    max_steps: Mapping[str, int]
    window: int | None = None
    list_actions: bool
    wording: str
    answer: str
    source: str

    def step_limit(self, environment: Environment) -> StepLimit:
        """Return the maximum steps in ``environment`` or, if it joins several, in each; raises as ``steps``."""
        members = environment.prompts.members
        return {name: self.steps(name) for name in members} if members else self.steps(environment.name)

    def steps(self, environment: str) -> int:
        """Return the maximum steps in an environment, by its name; raises ConfigError if the project has none."""
        if environment not in self.max_steps:
            others = [name for name, each in PROTOCOLS.items() if environment in each.max_steps]
            raise ConfigError(
                f"evaluation.protocol={self.name} has no values for {environment}, which that project does not use; "
                f"protocols with it: {', '.join(others) or 'none'}."
            )
        return self.max_steps[environment]


PROTOCOLS: Mapping[str, Protocol] = {
    "leap": Protocol(
        name="leap",
        max_steps={"alfworld": 30, "webshop": 30, "intercode_bash": 10},
        list_actions=True,
        wording="put",
        answer=LINES,
        source="Choudhury & Sodhi 2025, arXiv:2410.05434; github.com/sanjibanc/leap_llm at a3376d8",
    ),
    "sdar": Protocol(
        name="sdar",
        max_steps={"alfworld": 50, "webshop": 15},
        window=2,
        list_actions=True,
        wording="move",
        answer=TAGS,
        source="Lu et al. 2026, arXiv:2605.15155; github.com/ZJU-REAL/SDAR at 8b85c23",
    ),
    "tcod": Protocol(
        name="tcod",
        max_steps={"alfworld": 30, "webshop": 15},
        list_actions=True,
        wording="move",
        answer=TAGS,
        source="Wang et al. 2026, arXiv:2604.24005; github.com/kokolerk/TCOD at 465eef4",
    ),
    "react": Protocol(
        name="react",
        max_steps={"alfworld": 49, "webshop": 14},
        list_actions=False,
        wording="put",
        answer=THINK_OR_ACT,
        source="Yao et al. 2023, arXiv:2210.03629; github.com/ysymyth/ReAct at 6bdb3a1",
    ),
}


class Windowed(Policy):
    """A policy that sees the latest steps of a history alone."""

    def __init__(self, policy: Policy, window: int) -> None:
        self._policy, self._window = policy, window
        self.id = policy.id
        self.concurrency = policy.concurrency

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:
        """Return the policy's decisions for what it may see of ``views``."""
        return self._policy.act([view.latest(self._window) for view in views], seed=seed)

    @property
    def greedy(self) -> "Windowed":
        """The same policy, making its likeliest decisions."""
        return Windowed(self._policy.greedy, self._window)

    def usage(self) -> Mapping[str, float]:
        """Return what the policy used since the last call."""
        return self._policy.usage()

    def estimate(self, tasks: Sequence[Task], *, max_steps: int) -> str:
        """Describe what acting will cost."""
        return self._policy.estimate(tasks, max_steps=max_steps)
