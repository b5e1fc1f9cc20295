"""Another environment as it is: what a wrapper that changes one thing inherits for the rest."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from leap_exp.core.environments import ConsistentWorlds, Environment, Episode, Oracle
from leap_exp.core.types import PrivilegedFacts, Task, View


class WrappedEnvironment(Environment):
    """Passes everything on to ``environment``."""

    def __init__(self, environment: Environment) -> None:
        self.name = environment.name
        self.max_repeats = environment.max_repeats
        self.prompts = environment.prompts
        self.parallel_steps = environment.parallel_steps
        self._environment = environment

    def prepare(self) -> None:
        """Check that this machine can run episodes."""
        self._environment.prepare()

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""
        return self._environment.splits()

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of ``split``."""
        return self._environment.tasks(split)

    def more_tasks(self, split: str) -> str:
        """Return advice on how to get more tasks in ``split``."""
        return self._environment.more_tasks(split)

    def shares(self, split: str) -> Mapping[str, float]:
        """Return each environment's share of the tasks that are drawn."""
        return self._environment.shares(split)

    def max_repeats_of(self, task: Task) -> int:
        """Return ``max_repeats`` of the environment that ``task`` belongs to."""
        return self._environment.max_repeats_of(task)

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return what the episodes of ``task`` depend on."""
        return self._environment.contents(task)

    def open(self, task: Task, *, seed: int) -> AbstractContextManager[Episode]:
        """Start an episode of ``task``."""
        return self._environment.open(task, seed=seed)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return what is hidden from the student at the start of ``task``."""
        return self._environment.privileged(task)

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``."""
        return self._environment.oracle(task)

    def oracle_with_facts_of(self, task: Task, other: Task) -> Oracle | None:
        """Return the scripted expert for ``task`` that believes the facts about ``other``."""
        return self._environment.oracle_with_facts_of(task, other)

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds | None:
        """Return the worlds in which the history of ``view`` would have been the same."""
        return self._environment.consistent_worlds(view, limit=limit, seed=seed)
