"""Environments by name, and sessions that play their tasks: for programs with a loop of their own.

config = environment_config("alfworld", {"games": "official"})
environment = config.build()
with Session(environment, max_steps=config.max_steps_eval) as session:
observation = session.start(environment.tasks("valid_unseen")[0], seed=0)
transition = session.step("look")
session.score
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Self, TypeVar

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.environments import Environment, Episode
from leap_exp.core.errors import ConfigError, EnvError
from leap_exp.core.types import Observation, Task, Transition
from leap_exp.interfaces.opening import read_settings

T = TypeVar("T")

GROUP = "leap_exp.environments"
"""The entry points of environments."""


def environment_config(name: str, settings: Mapping[str, Any]) -> EnvironmentConfig:
    """Return the settings of the environment registered as ``name``; ``settings`` are those that differ from a default.

    Raises:
        ConfigError: There is no such environment, or it has no such setting, or a value is not valid.
    """
    registered = entry_points(group=GROUP)
    if name not in registered.names:
        raise ConfigError(f"There is no environment {name!r}: choose one of {', '.join(sorted(registered.names))}.")
    return read_settings(registered[name].value, settings)


class Session:
    """Plays episodes of ``environment``, one after the other; starting one closes the one before.

    Args:
        environment: Runs the tasks. Any number of sessions can share it.
        max_steps: Number of steps after which an episode is over.
    """

    def __init__(self, environment: Environment, *, max_steps: int) -> None:
        self._environment = environment
        self._max_steps = max_steps
        self._resources = ExitStack()
        self._episode: Episode | None = None
        self.done = False
        """Whether the episode is over."""
        self.steps = 0
        """Number of steps taken in the episode."""
        self.inadmissible_steps = 0
        """How many of them were not admissible."""

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the episode."""
        self.close()

    def start(self, task: Task, *, seed: int) -> Observation:
        """Start an episode of ``task`` and return what the agent sees."""
        self.close()
        self._episode = self._resources.enter_context(self._environment.open(task, seed=seed))
        self.done, self.steps, self.inadmissible_steps = False, 0, 0
        return self._episode.observation

    def step(self, action: str) -> Transition:
        """Take ``action``. ``done`` of the result is also true at the limit of steps.

        Raises:
            EnvError: No episode is running.
        """
        if self._episode is None or self.done:
            state = "over" if self.done else "not started"
            raise EnvError(f"Cannot take {action!r}: the episode is {state}. Start one first.")
        before = self._episode.observation
        transition = self._episode.step(action)
        self.steps += 1
        self.inadmissible_steps += not before.admits(transition.listed_as or action)
        self.done = transition.done or self.steps >= self._max_steps
        return replace(transition, done=self.done)

    @property
    def score(self) -> float:
        """The score of the episode so far, in [0, 1].

        Raises:
            EnvError: No episode is running.
        """
        if self._episode is None:
            raise EnvError("There is no score: no episode was started.")
        return self._episode.score()

    def close(self) -> None:
        """Free what the episode uses, such as a sandbox. Another one can be started."""
        self._episode = None
        self._resources.close()


class AsyncSession:
    """A session for an event loop, which it does not block while an environment waits for other programs.

    Args:
        session: What is played.
        threads: Where it is played; None for the event loop's own thread.
    """

    def __init__(self, session: Session, threads: Executor | None) -> None:
        self._session = session
        self._threads = threads

    async def __aenter__(self) -> Self:
        """Return the session."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the episode."""
        await self.close()

    @property
    def steps(self) -> int:
        """Number of steps taken in the episode."""
        return self._session.steps

    @property
    def inadmissible_steps(self) -> int:
        """How many of them were not admissible."""
        return self._session.inadmissible_steps

    @property
    def score(self) -> float:
        """The score of the episode so far, in [0, 1]."""
        return self._session.score

    async def start(self, task: Task, *, seed: int) -> Observation:
        """Start an episode as ``Session.start`` does."""
        return await self._call(lambda: self._session.start(task, seed=seed))

    async def step(self, action: str) -> Transition:
        """Take ``action`` as ``Session.step`` does."""
        return await self._call(lambda: self._session.step(action))

    async def close(self) -> None:
        """Free what the episode uses."""
        await self._call(self._session.close)

    def close_now(self) -> None:
        """Free what the episode uses, in this thread, for a caller that cannot await ``close``."""
        self._session.close()

    async def _call(self, work: Callable[[], T]) -> T:
        if self._threads is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SharedEnvironment:
    """An environment that any number of sessions of this process share.

    Attributes:
        config: All its settings.
        environment: The environment.
        threads: Where it is stepped, if it waits for other programs (``Environment.parallel_steps``).
    """

    config: EnvironmentConfig
    environment: Environment
    threads: Executor | None

    @staticmethod
    def of(name: str, settings: Mapping[str, Any]) -> "SharedEnvironment":
        """Return the environment registered as ``name``, built once per process for the same ``settings``.

        Raises:
            ConfigError: As ``environment_config`` does.
            LeapError: This machine cannot run the environment.
        """
        return _shared(name, json.dumps(settings, sort_keys=True))

    def max_steps(self, split: str) -> int:
        """Return the number of steps of an episode in ``split`` that the settings give."""
        config = self.config
        return config.max_steps_train if split == config.train_split else config.max_steps_eval

    def session(self, *, max_steps: int) -> AsyncSession:
        """Return a new session, without an episode."""
        return AsyncSession(Session(self.environment, max_steps=max_steps), self.threads)


@cache
def _shared(name: str, settings: str) -> SharedEnvironment:
    config = environment_config(name, json.loads(settings))
    environment = config.build()
    environment.prepare()
    parallel = environment.parallel_steps
    threads = ThreadPoolExecutor(parallel, thread_name_prefix=name) if parallel > 1 else None
    return SharedEnvironment(config=config, environment=environment, threads=threads)
