"""InterCode-Bash as an environment: queries are tasks, sandboxes are episodes."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from leap_exp.core.environments import Environment, Oracle
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.text import content_digest
from leap_exp.core.types import PrivilegedFacts, Task
from leap_exp.envs.intercode_bash.builtin import generate
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.episode import BashEpisode
from leap_exp.envs.intercode_bash.engine.queries import (
    SPLITS,
    Collection,
    Query,
    alfa_folder,
    official_folder,
    read_official,
)
from leap_exp.envs.intercode_bash.engine.reward import GoldResult, gold_result
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxEngine, SandboxKind
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from leap_exp.envs.intercode_bash.prompts import PROMPTS
from leap_exp.envs.intercode_bash.teaching.oracle import BashOracle, privileged_facts
from leap_exp.envs.selection import index_range

BUILTIN, OFFICIAL, ALFA = "builtin", "official", "alfa"
_ID = re.compile(r"intercode_bash/(\S+)-([0-9a-f]{8})")


class InterCodeBashEnvironment(Environment):
    """Queries answered with shell commands, as in the original."""

    name = "intercode_bash"
    max_repeats = 0
    prompts = PROMPTS
    parallel_steps = max(4, os.cpu_count() or 1)

    def __init__(self, config: InterCodeBashConfig) -> None:
        self._config = config
        self._quoting = Quoting(config.quoting)
        self._gold_results: dict[tuple[str, str], GoldResult] = {}

    @cached_property
    def engine(self) -> SandboxEngine:
        """The engine that makes the sandboxes.

        Raises:
            DataError: The base is not installed.
            EnvError: The engine does not work on this machine.
        """
        config = self._config
        # The original shows nothing of a command that never stops writing: it times out.
        limits = Limits(seconds=config.command_seconds, kill_at_output=self._quoting is Quoting.EXACT)
        return open_engine(SandboxKind(config.sandbox), base=BaseKind(config.base), limits=limits)

    def prepare(self) -> None:
        """Open the engine, so that a machine without working sandboxes is found before the run starts."""
        _ = self.engine

    @cached_property
    def _collection(self) -> Collection:
        source = self._config.tasks
        if source == BUILTIN:
            return generate(self._config.builtin_seed)
        return read_official({OFFICIAL: official_folder(), ALFA: alfa_folder()}.get(source) or Path(source))

    @cached_property
    def _queries(self) -> dict[str, Query]:
        return {query.id: query for query in self._collection.queries}

    def splits(self) -> Sequence[str]:
        """Return the paper's splits."""
        return SPLITS

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the queries of ``split`` as tasks, in the collection's order.

        Raises:
            ConfigError: There is no such split, or ``env.select`` keeps none of its queries.
        """
        if split not in SPLITS:
            raise ConfigError(f"Unknown split {split!r}: choose one of {', '.join(SPLITS)}.")
        queries = [query for query in self._collection.queries if query.split == split]
        selected = queries[index_range(self._config.select) or slice(None)]
        if not selected:
            raise ConfigError(
                f"env.select={self._config.select} keeps none of the {len(queries)} queries of the split {split!r}."
            )
        return [self._task(query) for query in selected]

    def golds(self, task: Task) -> Sequence[str]:
        """Return the commands that do what ``task`` asks for."""
        return self._query(task).golds

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return digests of the query's words, its gold commands and its files."""
        query = self._query(task)
        tree = self._collection.trees[query.tree]
        parts = {"words": query.text, "gold command": query.gold}
        if query.other_gold:
            parts["other gold command"] = query.other_gold
        digests = {part: content_digest(text) for part, text in parts.items()}
        return {**digests, "files": tree.digest_of_contents}

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[BashEpisode]:  # noqa: ARG002 - nothing is random
        """Start an episode in a new sandbox."""
        query = self._query(task)
        with self.engine.open(self._collection.trees[query.tree]) as sandbox:
            yield BashEpisode(
                sandbox,
                query.text,
                lambda: [self._gold_result(query, gold) for gold in query.golds],
                quoting=self._quoting,
                shown_characters=self._config.shown_characters,
            )

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the gold command and its output."""
        query = self._query(task)
        return privileged_facts(task.id, query, self._gold_result(query, query.gold).output or "")

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``."""
        query = self._query(task)
        return BashOracle(query, self._gold_result(query, query.gold).output or "")

    def oracle_with_facts_of(self, task: Task, other: Task) -> Oracle | None:
        """Return the scripted expert that reads the query of ``task`` and knows the gold command of ``other``.

        None if that is about another file tree.
        """
        own, query = self._query(task), self._query(other)
        if own.tree != query.tree:
            return None
        output = self._gold_result(query, query.gold).output or ""
        return BashOracle(replace(query, text=own.text), output, sought=own.gold)

    def _gold_result(self, query: Query, gold: str) -> GoldResult:
        """Run one of the query's gold commands, once.

        Raises:
            EnvError: It was killed at a limit, so that nothing can be compared with it.
        """
        key = query.id, gold
        if key not in self._gold_results:
            tree = self._collection.trees[query.tree]
            self._gold_results[key] = gold_result(self.engine, tree, gold, self._quoting, query=query.id)
        return self._gold_results[key]

    def _task(self, query: Query) -> Task:
        """Return the task; its id ends with a digest of everything that the reward depends on."""
        return Task(
            id=f"intercode_bash/{query.id}-{self._digest(query)}",
            split=query.split,
            instruction=query.text,
            kind=query.kind,
        )

    def _digest(self, query: Query) -> str:
        contents = [query.text, *query.golds, self._collection.trees[query.tree].digest]
        return hashlib.sha256(repr(contents).encode()).hexdigest()[:8]

    def _query(self, task: Task) -> Query:
        found = _ID.fullmatch(task.id)
        query = self._queries.get(found[1]) if found else None
        if not found or query is None:
            raise DataError(f"There is no task {task.id!r} in env.tasks={self._config.tasks}.")
        if found[2] != self._digest(query):
            raise DataError(
                f"The task {task.id!r} differs from the one in env.tasks={self._config.tasks}: it was made with other "
                "queries, gold commands or file trees."
            )
        return query
