"""A session of the server: an environment of leap_exp behind the interface of OpenEnv."""

import asyncio
import json
import os
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata
from openenv.core.rubrics.base import Rubric

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Observation, Task
from leap_exp.interfaces.sessions import AsyncSession, SharedEnvironment
from leap_openenv.models import LeapAction, LeapObservation, LeapState

ENVIRONMENT = "LEAP_OPENENV_ENVIRONMENT"
"""Environment variable with the name of the environment that a client gets if it names none; alfworld by default."""

SETTINGS = "LEAP_OPENENV_SETTINGS"
"""Environment variable with settings of environments, as JSON: {"alfworld": {"games": "official"}}."""


class ExactScore(Rubric):
    """The environment's own reward: nothing is judged, and the rewards of an episode add up to its score."""

    def forward(self, action: LeapAction, observation: LeapObservation) -> float:
        """Return the reward that the environment gave."""
        return float(observation.reward or 0.0)


class LeapEnvironment(Environment[LeapAction, LeapObservation, LeapState]):
    """One session. Sessions share tasks and data, but nothing of an episode."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__(rubric=ExactScore())
        self._session: AsyncSession | None = None
        self._task: Task | None = None
        self._state = LeapState()

    async def reset_async(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        *,
        environment: str = "",
        split: str = "train",
        index: int = 0,
        max_steps: int | None = None,
        **unknown: Any,
    ) -> LeapObservation:
        """Start an episode; the one before is closed.

        Args:
            seed: Seed of the episode; 0 if none is given.
            episode_id: The episode's id in ``state``; a new one if none is given.
            environment: Name of the environment; the server's default if it is empty.
            split: Split of the task.
            index: Index of the task in its split.
            max_steps: Steps after which the episode ends; by default the environment's number for this split.
            unknown: Anything else is refused.

        Raises:
            ConfigError: There is no such environment, split, task or argument.
        """
        if unknown:
            raise ConfigError(
                f"reset has no argument {min(unknown)!r}: it takes seed, episode_id, environment, split, index and "
                "max_steps."
            )
        shared = shared_environment(environment)
        task = _task(shared.environment.tasks(split), split, index)
        if self._session is not None:
            await self._session.close()
        self._reset_rubric()
        self._session = shared.session(max_steps=max_steps or shared.max_steps(split))
        observation = await self._session.start(task, seed=seed or 0)
        self._task = task
        self._state = LeapState(
            episode_id=episode_id or str(uuid4()),
            environment=shared.environment.name,
            split=split,
            task_id=task.id,
            score=self._session.score,
        )
        return self._shown(task, observation)

    async def step_async(self, action: LeapAction, timeout_s: float | None = None, **unknown: Any) -> LeapObservation:
        """Take an action; an inadmissible one gets an answer from the environment.

        Raises:
            ConfigError: ``reset`` was not called.
            EnvError: The episode is over, or the environment crashed.
        """
        if self._session is None or self._task is None:
            raise ConfigError("There is no episode: call reset before step, on the same connection.")
        transition = await self._session.step(action.text)
        self._state.step_count = self._session.steps
        self._state.score = self._session.score
        shown = self._shown(self._task, transition.observation, reward=transition.reward, done=transition.done)
        shown.reward = self._apply_rubric(action, shown)
        return shown

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> LeapObservation:
        """Do what ``reset_async`` does, in a program without an event loop."""
        return asyncio.run(self.reset_async(seed, episode_id, **options))

    def step(self, action: LeapAction, timeout_s: float | None = None, **options: Any) -> LeapObservation:
        """Do what ``step_async`` does, in a program without an event loop."""
        return asyncio.run(self.step_async(action, timeout_s, **options))

    @property
    def state(self) -> LeapState:
        """The task, and how far the episode is."""
        return self._state

    def close(self) -> None:
        """Close the episode. The server calls this in a thread of the session."""
        session, self._session = self._session, None
        if session is not None:
            session.close_now()

    def get_metadata(self) -> EnvironmentMetadata:
        """Return what the server says about itself."""
        return EnvironmentMetadata(
            name="leap_openenv",
            description="ALFWorld, WebShop and InterCode-Bash, exact and fast, and what else leap_exp has registered",
            version="0.1.0",
        )

    def list_splits(self) -> list[str]:
        """Return the splits of the server's default environment, as do the methods below for its tasks."""
        return list(shared_environment("").environment.splits())

    def num_tasks(self, split: str) -> int:
        """Return the number of tasks in ``split``."""
        return len(shared_environment("").environment.tasks(split))

    def list_tasks(self, split: str) -> list[dict[str, object]]:
        """Return all tasks of ``split``."""
        return self.get_task_range(split)

    def get_task(self, split: str, index: int) -> dict[str, object]:
        """Return the task at ``index`` of ``split``."""
        return _described(shared_environment("").environment.tasks(split)[index], index)

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, object]]:
        """Return the tasks from ``start`` up to ``stop``."""
        tasks = shared_environment("").environment.tasks(split)
        return [_described(tasks[index], index) for index in range(*slice(start, stop).indices(len(tasks)))]

    def _shown(
        self, task: Task, observation: Observation, *, reward: float = 0.0, done: bool = False
    ) -> LeapObservation:
        actions = observation.admissible_actions
        return LeapObservation(
            text=observation.text,
            admissible_actions=None if actions is None else list(actions),
            score=self._state.score,
            task_id=task.id,
            instruction=task.instruction,
            reward=reward,
            done=done,
        )


def shared_environment(name: str) -> SharedEnvironment:
    """Return the environment ``name``, or the server's default if it is empty, with the server's settings.

    Raises:
        ConfigError: There is no such environment or setting.
    """
    name = name or os.environ.get(ENVIRONMENT, "alfworld")
    return SharedEnvironment.of(name, _settings().get(name, {}))


@cache
def _settings() -> dict[str, dict[str, object]]:
    text = os.environ.get(SETTINGS, "{}")
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise ConfigError(f'{SETTINGS}={text} is not JSON: give settings such as {{"alfworld": {{}}}}.') from error
    if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
        raise ConfigError(f'{SETTINGS}={text} is not valid: give settings by environment, as in {{"alfworld": {{}}}}.')
    return settings


def _task(tasks: Sequence[Task], split: str, index: int) -> Task:
    if not 0 <= index < len(tasks):
        raise ConfigError(f"The split {split!r} has no task {index}: give an index from 0 to {len(tasks) - 1}.")
    return tasks[index]


def _described(task: Task, index: int) -> dict[str, object]:
    return {"id": task.id, "index": index, "split": task.split, "kind": task.kind, "instruction": task.instruction}
