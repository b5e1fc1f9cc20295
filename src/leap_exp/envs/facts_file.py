"""An environment whose privileged facts come from a file."""

from pathlib import Path

from leap_exp.core.environments import Environment
from leap_exp.core.errors import DataError
from leap_exp.core.types import PrivilegedFacts, Task
from leap_exp.envs.wrapped import WrappedEnvironment
from leap_exp.runs import read_records


class EnvironmentWithFacts(WrappedEnvironment):
    """Another environment with the privileged facts of a file, such as one that ``leap data extract-facts`` wrote.

    The scripted expert and the consistent worlds still know the environment's own facts.
    """

    def __init__(self, environment: Environment, file: Path) -> None:
        """Read ``file``; raises StoreError if that is not possible."""
        super().__init__(environment)
        self._file = file
        self._facts = {facts.task_id: facts for facts in read_records(file).of(PrivilegedFacts)}

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the facts about ``task`` in the file; raises DataError if there are none."""
        if task.id not in self._facts:
            raise DataError(
                f"{self._file} has no facts about {task.id}: extract them from a log of one of its episodes."
            )
        return self._facts[task.id]
