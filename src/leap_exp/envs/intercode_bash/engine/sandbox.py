"""The interface of sandboxes: isolated machines with a file tree, in which commands run one after the other."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from leap_exp.envs.intercode_bash.engine.trees import FileTree


class SandboxKind(StrEnum):
    """What makes the sandboxes."""

    AUTO = "auto"
    """Docker if an engine answers, else bubblewrap."""
    BUBBLEWRAP = "bubblewrap"
    DOCKER = "docker"


class BaseKind(StrEnum):
    """What a sandbox has below the file tree of a query."""

    HOST = "host"
    """The programs of this machine."""
    ROOTFS = "rootfs"
    """An installed root file system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits for one command and all processes it starts."""

    seconds: float = 10.0
    """Wall-clock time."""
    memory_mib: int = 512
    processes: int = 128
    disk_mib: int = 64
    """Space for everything that an episode writes. bubblewrap keeps it in memory."""
    output_bytes: int = 1 << 20
    kill_at_output: bool = True
    """Whether a command that writes more is killed. If not, the rest is left out, and the command goes on until it ends
    or exceeds another limit."""


class Resource(StrEnum):
    """A limited resource."""

    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command.

    Attributes:
        output: Standard output and standard error, interleaved as written, up to the limit.
        exit_code: None exactly when the command was killed.
        exceeded: The resource that the command used too much of, so that it was killed, or None. OUTPUT with an exit
            code means that a part of the output was left out.
    """

    output: bytes
    exit_code: int | None
    exceeded: Resource | None = None


class Sandbox(Protocol):
    """An isolated machine, without a network."""

    @abstractmethod
    def run(self, arguments: Sequence[str], *, workdir: str) -> CommandResult:
        """Run the program ``arguments[0]`` in ``workdir``, without a shell in between.

        Changes to files persist between commands. Background processes end with the command. A missing program or
        folder gives the output that Docker gives.

        Raises:
            EnvError: The sandbox itself failed.
        """


class SandboxEngine(Protocol):
    """Makes sandboxes."""

    name: str

    @abstractmethod
    def open(self, tree: FileTree) -> AbstractContextManager[Sandbox]:
        """Start a new sandbox with ``tree``; it is removed when the context exits.

        In the sandbox, ``/`` without the usual system folders is a clean git repository.

        Raises:
            EnvError: The sandbox cannot be made.
        """

    @abstractmethod
    def orphans(self) -> Mapping[str, Sequence[str]]:
        """List what sandboxes have left on this machine, by kind. Open sandboxes are listed too."""
