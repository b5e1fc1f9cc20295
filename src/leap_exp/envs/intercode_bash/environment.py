"""InterCode-Bash as an environment: requests as tasks, sandboxes as episodes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.protocols import Oracle
from leap_exp.core.types import PrivilegedFacts, Task
from leap_exp.envs.intercode_bash.builtin import generate
from leap_exp.envs.intercode_bash.engines import open_engine
from leap_exp.envs.intercode_bash.episode import BashEpisode
from leap_exp.envs.intercode_bash.facts import privileged_facts
from leap_exp.envs.intercode_bash.official import official_folder, read_official
from leap_exp.envs.intercode_bash.oracle import BashOracle
from leap_exp.envs.intercode_bash.requests import SPLITS, Collection, Request
from leap_exp.envs.intercode_bash.reward import Gold, run_gold
from leap_exp.envs.intercode_bash.sandbox import Limits, SandboxEngine
from leap_exp.envs.intercode_bash.shell import Quoting
from leap_exp.envs.selection import index_range

BUILTIN, OFFICIAL = "builtin", "official"
_ID = re.compile(r"intercode_bash/(\S+)-([0-9a-f]{8})")


class InterCodeBashEnvironment:
    """Shell commands that do what a request asks for, in the original's way.

    Args:
        tasks: "builtin", "official" (installed), or a folder of the authors' form.
        sandbox: "bubblewrap", "docker", or "auto" for whichever there is.
        base: What bubblewrap's sandboxes have beneath the file tree: "host" or "rootfs".
        quoting: "original" or "exact".
        builtin_seed: Seed of the built-in requests and trees.
        select: The requests of a split to keep, an index range such as "0:50"; empty for all.
        seconds: Wall-clock time that a command may take.
        shown_characters: How much of an output is shown.

    Raises:
        ConfigError: A value is unknown.
    """

    name = "intercode_bash"
    revisits = 0

    def __init__(
        self,
        *,
        tasks: str = BUILTIN,
        sandbox: str = "auto",
        base: str = "host",
        quoting: str = Quoting.ORIGINAL,
        builtin_seed: int = 0,
        select: str = "",
        seconds: float = 10.0,
        shown_characters: int = 2000,
    ) -> None:
        if quoting not in [*Quoting]:
            raise ConfigError(f"Unknown quoting {quoting!r}: choose one of {', '.join(Quoting)}.")
        self._source, self._builtin_seed = tasks, builtin_seed
        self._sandbox, self._base = sandbox, base
        self._quoting = Quoting(quoting)
        kept = index_range(select or ":")
        if kept is None:
            raise ConfigError(f"select={select!r} is no range of requests: give one such as 0:50.")
        self._select, self._kept = select, kept
        self._limits = Limits(seconds=seconds)
        self._shown_characters = shown_characters
        self._golds: dict[str, Gold] = {}

    @cached_property
    def engine(self) -> SandboxEngine:
        """What makes the sandboxes.

        Raises:
            EnvError: There is none.
        """
        return open_engine(self._sandbox, base=self._base, limits=self._limits)

    @cached_property
    def _collection(self) -> Collection:
        if self._source == BUILTIN:
            return generate(self._builtin_seed)
        return read_official(official_folder() if self._source == OFFICIAL else Path(self._source))

    @cached_property
    def _requests(self) -> dict[str, Request]:
        return {request.id: request for request in self._collection.requests}

    def tasks(self, split: str) -> Sequence[Task]:
        """The requests of ``split``, in the collection's order.

        Raises:
            ConfigError: There is no such split, or the selection leaves nothing of it.
        """
        if split not in SPLITS:
            raise ConfigError(f"Unknown split {split!r}: choose one of {', '.join(SPLITS)}.")
        requests = [request for request in self._collection.requests if request.split == split]
        if not requests[self._kept]:
            raise ConfigError(
                f"No request of the split {split!r} ({len(requests)}) is left by select={self._select!r}."
            )
        return [self._task(request) for request in requests[self._kept]]

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[BashEpisode]:  # noqa: ARG002 - nothing is drawn
        """A fresh sandbox for the request of ``task``."""
        request = self._request(task)
        with self.engine.open(self._collection.trees[request.tree]) as sandbox:
            yield BashEpisode(
                sandbox,
                request.query,
                lambda: self._gold(request),
                quoting=self._quoting,
                shown_characters=self._shown_characters,
            )

    def privileged(self, task: Task) -> PrivilegedFacts:
        """The gold command and its output."""
        request = self._request(task)
        return privileged_facts(task.id, request, self._gold(request).output or "")

    def oracle(self, task: Task) -> Oracle:
        """The scripted expert for ``task``."""
        request = self._request(task)
        return BashOracle(request, self._gold(request).output or "")

    def _gold(self, request: Request) -> Gold:
        """What the gold command leaves, found out once."""
        if request.id not in self._golds:
            with self.engine.open(self._collection.trees[request.tree]) as sandbox:
                self._golds[request.id] = run_gold(sandbox, request.gold, self._quoting)
        return self._golds[request.id]

    def _task(self, request: Request) -> Task:
        """The id ends with a digest of all that the reward depends on, so that a panel's hash covers it."""
        return Task(
            id=f"intercode_bash/{request.id}-{self._digest(request)}",
            split=request.split,
            instruction=request.query,
            kind=request.kind,
        )

    def _digest(self, request: Request) -> str:
        contents = [request.query, request.gold, self._collection.trees[request.tree].digest]
        return hashlib.sha256(repr(contents).encode()).hexdigest()[:8]

    def _request(self, task: Task) -> Request:
        found = _ID.fullmatch(task.id)
        request = self._requests.get(found[1]) if found else None
        if not found or request is None:
            raise DataError(f"The task {task.id!r} is none of these requests ({self._source}).")
        if found[2] != self._digest(request):
            raise DataError(f"The task {task.id!r} is of other requests than these ({self._source}).")
        return request
