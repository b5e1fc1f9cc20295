"""Many episodes of one environment for Gymnasium, in one process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from leap_exp.core.errors import ConfigError
from leap_exp.core.threads import Workers
from leap_exp.interfaces.gymnasium.env import GymnasiumEnv

Results = tuple[tuple[str, ...], dict[str, Any]]
Steps = tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class GymnasiumVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], NDArray[Any]]):
    """Episodes that share one environment; what ``gymnasium.make_vec`` makes.

    It returns the same as Gymnasium's ``SyncVectorEnv``. Where episodes wait for other programs, as in InterCode-Bash,
    they step in threads. An episode that has ended is reset by the next step.

    Args:
        config: ``module:name`` of the settings class of the environment.
        num_envs: Number of episodes at a time.
        max_episode_steps: The horizon; None for none.
        **arguments: As in ``GymnasiumEnv``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as the base class declares it
        **GymnasiumEnv.metadata,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        config: str,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        **arguments: Any,  # noqa: ANN401 - each has the type that GymnasiumEnv gives it
    ) -> None:
        # The base class closes what is here even if the next line raises an error.
        self.envs: list[GymnasiumEnv] = []
        self._workers: Workers | None = None
        if num_envs < 1:
            raise ConfigError(f"num_envs={num_envs} is not valid: it must be at least 1.")
        self.envs = [GymnasiumEnv(config, **arguments) for _ in range(num_envs)]
        self.num_envs = num_envs
        self.render_mode = self.envs[0].render_mode
        self.tasks, self.panel = self.envs[0].tasks, self.envs[0].panel
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._horizon = max_episode_steps
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._ended = np.ones(num_envs, dtype=np.bool_)
        threads = min(self.envs[0].environment.parallel_steps, num_envs)
        if threads > 1:
            self._workers = Workers(threads, on_error=_never)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> Results:
        """Start all episodes.

        Args:
            seed: A number ``s`` for the seeds ``s``, ``s + 1`` and so on, or a seed per episode.
            options: ``{"task": id}`` or ``{"task": [id, ...]}``, one id per episode.

        Raises:
            ConfigError: There is no such option or task, or their number is wrong.
        """
        seeds = [seed + index for index in range(self.num_envs)] if isinstance(seed, int) else seed
        tasks = (options or {}).get("task")
        each_options = [
            options if isinstance(tasks, str) or tasks is None else {**(options or {}), "task": task}
            for task in self._each("options['task']", None if isinstance(tasks, str) else tasks)
        ]
        each_seed = self._each("seed", seeds)
        results = self._for_each(
            lambda index: self.envs[index].reset(seed=each_seed[index], options=each_options[index])
        )
        self._lengths[:] = 0
        self._ended[:] = False
        return tuple(text for text, _ in results), _merged([info for _, info in results])

    def step(self, actions: Sequence[str]) -> Steps:
        """Take an action in each episode; those that have ended start anew instead, with reward 0."""
        actions = self._each("actions", actions)

        def one(index: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
            if self._ended[index]:
                text, info = self.envs[index].reset()
                return text, 0.0, False, False, info
            return self.envs[index].step(actions[index])

        texts, rewards, terminations, _, infos = zip(*self._for_each(one), strict=True)
        self._lengths = np.where(self._ended, 0, self._lengths + 1)
        terminated = np.array(terminations)
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        if self._horizon is not None:
            truncated = self._lengths >= self._horizon
        self._ended = terminated | truncated
        return texts, np.array(rewards), terminated, truncated, _merged(infos)

    def render(self) -> tuple[str | None, ...]:  # type: ignore[override]
        """Return the last observations if ``render_mode`` is "ansi"."""
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ARG002, ANN401 - as in the base class
        """End all episodes."""
        if self._workers is not None:
            self._workers.close()
        for env in self.envs:
            env.close()

    def _for_each(self, work: Callable[[int], Any]) -> list[Any]:
        """Return the results of ``work`` for each episode."""
        if self._workers is None:
            return [work(index) for index in range(self.num_envs)]
        results: list[Any] = [None] * self.num_envs

        def keep(index: int) -> None:
            results[index] = work(index)

        self._workers.do_all(keep, self.num_envs)
        return results

    def _each(self, name: str, values: Sequence[Any] | None) -> Sequence[Any]:
        """Return ``values``, one per episode; None means None for each."""
        if values is None:
            return [None] * self.num_envs
        if isinstance(values, str) or len(values) != self.num_envs:
            raise ConfigError(f"{name}={values!r} is not valid: it must have one value for each of {self.num_envs}.")
        return values


def _merged(infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the infos of all episodes as Gymnasium merges them: an array per key, and a mask, here always true."""
    merged: dict[str, Any] = {}
    for key, first in infos[0].items():
        kind = type(first) if isinstance(first, bool | float) else object
        merged[key] = np.fromiter((info[key] for info in infos), dtype=kind, count=len(infos))
        merged[f"_{key}"] = np.ones(len(infos), dtype=np.bool_)
    return merged


def _never(error: BaseException) -> None:
    raise AssertionError("nothing is submitted that raises an error") from error
