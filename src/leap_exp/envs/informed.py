"""An environment whose privileged facts come from a file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from leap_exp.core.errors import DataError
from leap_exp.core.types import PrivilegedFacts, Task
from leap_exp.store import read_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leap_exp.core.protocols import Environment, Episode, Oracle


class InformedEnvironment:
    """Another environment in all but its privileged facts, which were extracted from logs of episodes."""

    def __init__(self, environment: Environment, file: Path) -> None:
        """Raises StoreError if ``file`` cannot be read."""
        self.name = environment.name
        self.revisits = environment.revisits
        self._environment = environment
        self._file = file
        self._facts = {facts.task_id: facts for facts in read_records(file).of(PrivilegedFacts)}

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``split``."""
        return self._environment.tasks(split)

    def open(self, task: Task, *, seed: int) -> AbstractContextManager[Episode]:
        """Start an episode of ``task``."""
        return self._environment.open(task, seed=seed)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """What the file says of ``task``; raises DataError if that is nothing."""
        if task.id not in self._facts:
            raise DataError(f"{self._file} has no facts on {task.id}: extract some from a log of one of its episodes.")
        return self._facts[task.id]

    def oracle(self, task: Task) -> Oracle:
        """The scripted expert for ``task``, which knows what it always knew."""
        return self._environment.oracle(task)
