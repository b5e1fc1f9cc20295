"""An environment whose privileged facts come from a file."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.core.protocols import ConsistentWorlds, Environment, Episode, Oracle
from leap_exp.core.types import PrivilegedFacts, Task, View
from leap_exp.runs import read_records


class EnvironmentWithFacts(Environment):
    """Another environment with the privileged facts of a file, such as one that ``leap data extract-facts`` wrote."""

    def __init__(self, environment: Environment, file: Path) -> None:
        """Read ``file``; raises StoreError if that is not possible."""
        self.name = environment.name
        self.max_repeats = environment.max_repeats
        self.prompts = environment.prompts
        self.parallel_steps = environment.parallel_steps
        self._environment = environment
        self._file = file
        self._facts = {facts.task_id: facts for facts in read_records(file).of(PrivilegedFacts)}

    def prepare(self) -> None:
        """Check that this machine can run episodes."""
        self._environment.prepare()

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of ``split``."""
        return self._environment.tasks(split)

    def more_tasks(self, split: str) -> str:
        """Return advice on how to get more tasks in ``split``."""
        return self._environment.more_tasks(split)

    def open(self, task: Task, *, seed: int) -> AbstractContextManager[Episode]:
        """Start an episode of ``task``."""
        return self._environment.open(task, seed=seed)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the facts about ``task`` in the file; raises DataError if there are none."""
        if task.id not in self._facts:
            raise DataError(
                f"{self._file} has no facts about {task.id}: extract them from a log of one of its episodes."
            )
        return self._facts[task.id]

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``, which knows the environment's own facts."""
        return self._environment.oracle(task)

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds | None:
        """Return the worlds that are consistent with a history, as the environment itself knows them."""
        return self._environment.consistent_worlds(view, limit=limit, seed=seed)
