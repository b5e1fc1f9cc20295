"""What a sandbox is: a throw-away machine with a file tree, in which commands are run one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from leap_exp.envs.intercode_bash.trees import FileTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command, and all that it starts, may use."""

    seconds: float = 10.0
    """Wall-clock time."""
    memory_mib: int = 512
    processes: int = 128
    disk_mib: int = 64
    """All that an episode writes, which lies in memory."""
    output_bytes: int = 1 << 20


class Excess(StrEnum):
    """What a command used too much of, so that it was killed with all that it had started."""

    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a command. ``exit_code`` is None exactly when it was killed for an ``excess``."""

    output: bytes
    """Standard output and standard error, in the order in which they were written, up to the limit."""
    exit_code: int | None
    excess: Excess | None = None


class Sandbox(Protocol):
    """One machine, alone: no network, and nothing shared with another one."""

    def run(self, arguments: Sequence[str], *, workdir: str) -> Outcome:
        """Run the program ``arguments[0]`` in ``workdir``; no shell reads ``arguments``.

        Changes to files stay for the next command. A program or folder that is not there is answered as Docker does.

        Raises:
            EnvError: The sandbox itself broke.
        """


class SandboxEngine(Protocol):
    """Makes sandboxes."""

    name: str

    def open(self, tree: FileTree) -> AbstractContextManager[Sandbox]:
        """A fresh machine with ``tree`` in it; it is gone when the context is left, whatever happens in between.

        ``tree`` is under version control there (a commit of all of ``/`` but the usual system folders), and clean.

        Raises:
            EnvError: It cannot be made.
        """

    def leftovers(self) -> Mapping[str, Sequence[str]]:
        """What there is of sandboxes on this machine: a line each, by kind. Those that are open count as well."""
