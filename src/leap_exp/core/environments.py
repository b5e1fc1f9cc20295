"""The contracts of environments: episodes, scripted experts, and the worlds that a history leaves possible.

As in ``leap_exp.core.protocols``, methods with a body are optional.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Decision, EnvironmentPrompts, Observation, PrivilegedFacts, Task, Transition, View


class Episode(Protocol):
    """One run of a task."""

    @property
    @abstractmethod
    def observation(self) -> Observation:
        """What the student sees now."""

    @abstractmethod
    def step(self, action: str) -> Transition:
        """Take ``action``. An inadmissible action gets an answer from the environment; it never raises.

        If the environment takes it for an admissible action that is written otherwise, the result names that one.
        """

    @abstractmethod
    def score(self) -> float:
        """The score so far, in [0, 1]."""


class Oracle(Protocol):
    """The scripted expert for one task. It knows the privileged facts and uses them as the disclosure allows."""

    @abstractmethod
    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the best admissible action in ``view`` under ``disclosure``, with a reason.

        Args:
            view: What the student sees.
            disclosure: The rule for using the facts. At ``Disclosure.NONE`` the decision depends only on ``view`` and
                ``taken``.
            seed: Varies the wording of reasons. The same arguments always give the same decision.
            taken: The student's own action, when it is being corrected. The oracle keeps it if it is as good as its own
                choice.
        """

    def action_values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """Return the value of each admissible action: minus the number of steps left after it.

        An action after which the task cannot be solved has the value -inf, and the action that ``decide`` takes has the
        highest value. Empty if this oracle cannot tell, under this disclosure or at all.
        """
        return {}

    def facts_about(self, task: Task) -> PrivilegedFacts | None:
        """Return the facts about ``task`` as this oracle knows them; None if it cannot say them."""
        return None

    def fits(self, view: View) -> bool:
        """Return whether the history of ``view`` could have been seen if the facts of this oracle are true."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistentWorlds:
    """Worlds that a student cannot tell apart by what it has seen.

    Attributes:
        oracles: The scripted expert for each of them.
        probabilities: How likely each is, given the history; they add up to 1.
        is_exact: Whether these are all worlds, or a sample of equally likely draws.
    """

    oracles: tuple[Oracle, ...]
    probabilities: tuple[float, ...]
    is_exact: bool


class Environment(Protocol):
    """A set of tasks and a way to run them.

    Attributes:
        name: The environment's name, as in ``env=NAME``.
        max_repeats: How often the same action on the same observation can still make sense. A shopper may return to a
            product once, to compare. More repeats than this are a loop.
        prompts: How models are told about the environment.
        parallel_steps: How many of its episodes may be opened, stepped and closed at a time, in different threads. More
            than 1 is of use where they wait for other programs.
    """

    name: str
    max_repeats: int
    prompts: EnvironmentPrompts
    parallel_steps: int = 1

    def prepare(self) -> None:
        """Check that this machine can run episodes; called once, before a run does anything else.

        Raises:
            LeapError: It cannot. The message says why, and the way out.
        """
        return

    def splits(self) -> Sequence[str]:
        """Return the names of the splits; empty if the environment does not tell."""
        return ()

    @abstractmethod
    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of ``split``, always in the same order."""

    def more_tasks(self, split: str) -> str:
        """Return advice on how to get more tasks in ``split``, such as a setting; empty if there is none."""
        return ""

    def shares(self, split: str) -> Mapping[str, float]:
        """Return each environment's share of the tasks that are drawn from ``split``, if several are joined.

        Shares add up to 1. Empty for a single environment, whose tasks are drawn uniformly.
        """
        return {}

    def max_repeats_of(self, task: Task) -> int:
        """Return ``max_repeats`` of the environment that ``task`` belongs to, which differ if several are joined."""
        return self.max_repeats

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return what the episodes of ``task`` depend on, by part: short values as they are, and digests of long ones.

        They are the same on every machine with the same data. Empty if the id and the instruction say it all.
        """
        return {}

    @abstractmethod
    def open(self, task: Task, *, seed: int) -> AbstractContextManager[Episode]:
        """Start an episode of ``task``. Leaving the context frees all its resources."""

    @abstractmethod
    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return what is hidden from the student at the start of ``task``."""

    @abstractmethod
    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``."""

    @property
    def of_teacher(self) -> "Environment":
        """The same environment with a scripted expert that believes the facts that teachers are told."""
        return self

    def oracle_with_facts_of(self, task: Task, other: Task) -> Oracle | None:
        """Return the scripted expert for ``task`` that takes the facts about ``other`` for those about ``task``.

        None if they would make no sense there.
        """
        return None

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds | None:
        """Return the worlds in which the history of ``view`` would have been the same; None if that is not known.

        Args:
            view: What the student sees.
            limit: The most worlds to return. If there are more, as many are drawn.
            seed: Seed of what is drawn.
        """
        return None
