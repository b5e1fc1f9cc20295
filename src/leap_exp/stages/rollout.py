"""Roll out: a policy acts alone on tasks, in many episodes at once."""

import logging
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.errors import DataError, EnvError
from leap_exp.core.protocols import Environment, Policy, ProgressCallback
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import Settings, setting
from leap_exp.core.types import Decision, DecisionFailure, Step, StopReason, Task, Trajectory, View

logger = logging.getLogger(__name__)


@dataclass
class RolloutsConfig(Settings):
    """Where the student acts in order to be corrected."""

    place: ClassVar[str] = "rollouts"

    tasks: int = setting(100, "Training tasks per round.", minimum=1)
    per_task: int = setting(1, "Episodes of each task, for a student that samples.", minimum=1)
    stop_when_stuck: bool = setting(False, "Whether an episode ends when the student repeats itself in a loop.")


def sample_tasks(tasks: Sequence[Task], count: int, *, seed: int, advice: str = "") -> list[Task]:
    """Draw ``count`` different tasks uniformly; see ``require_tasks``."""
    require_tasks(tasks, count, advice=advice)
    return random.Random(seed).sample(list(tasks), count)


def require_tasks(tasks: Sequence[Task], count: int, *, advice: str = "") -> None:
    """Raise DataError if there are fewer than ``count`` tasks; ``advice`` says how to get more."""
    if count > len(tasks):
        raise DataError(
            f"The run needs {count} tasks, but the split has only {len(tasks)}; lower the number"
            f"{f', or {advice}' if advice else ''}."
        )


def rollout(
    environment: Environment,
    policy: Policy,
    tasks: Sequence[Task],
    *,
    seed: int,
    max_steps: int,
    batch: int,
    on_progress: ProgressCallback,
    stop_when_stuck: bool = False,
    per_task: int = 1,
) -> list[Trajectory]:
    """Run ``policy`` on each of ``tasks`` and return the trajectories in the order of the tasks and their samples.

    Up to ``batch`` episodes run at a time; when one ends, the next task starts. An inadmissible action is passed to the
    environment. An episode whose environment crashes, or whose policy fails to decide, ends with INFRA_ERROR and no
    score. The result depends on ``seed`` but not on ``batch``, unless the policy's decisions do.

    Args:
        environment: Runs the tasks.
        policy: Decides.
        tasks: The tasks, all different.
        seed: Seed of the episodes and of the policy.
        max_steps: Steps after which an episode ends.
        batch: Episodes at a time.
        on_progress: Called with the number of finished episodes.
        stop_when_stuck: Whether an episode ends once an action was repeated on the same observation more often than
            the environment's ``max_repeats``. What follows is a loop, from which there is little to learn.
        per_task: Episodes of each task, which are numbered samples with a seed each.

    Raises:
        EnvError: All episodes crashed.
    """
    estimate = policy.estimate([task for task in tasks for _ in range(per_task)], max_steps=max_steps)
    if estimate:
        logger.info("Episodes: %s", estimate)
    finished: dict[int, Trajectory] = {}
    waiting = list(enumerate((task, sample) for task in tasks for sample in range(per_task)))[::-1]
    count = len(waiting)
    live: dict[int, _LiveEpisode] = {}
    try:
        while waiting or live:
            while waiting and len(live) < batch:
                position, (task, sample) = waiting.pop()
                live[position] = _LiveEpisode(
                    environment,
                    task,
                    policy_id=policy.id,
                    seed=derive_seed(seed, "episode", task.id, *([sample] if sample else [])),
                    limit=max_steps,
                    max_repeats=environment.max_repeats if stop_when_stuck else None,
                    sample=sample,
                )
            acting = [episode for episode in live.values() if episode.stop is None]
            # The same seed in every call: a policy derives its randomness from it, the task, the step and the sample.
            decisions = policy.act([episode.view() for episode in acting], seed=seed) if acting else []
            for episode, decision in zip(acting, decisions, strict=True):
                if isinstance(decision, DecisionFailure):
                    episode.fail(decision.error)
                else:
                    episode.step(decision)
            for position in [position for position, episode in live.items() if episode.stop is not None]:
                finished[position] = live.pop(position).trajectory()
            on_progress(len(finished), count)
    finally:
        for episode in live.values():
            episode.close()
    trajectories = [finished[position] for position in range(count)]
    if trajectories and all(trajectory.stop is StopReason.INFRA_ERROR for trajectory in trajectories):
        raise EnvError(f"All {len(trajectories)} episodes crashed, the first with: {trajectories[0].error}")
    return trajectories


class _LiveEpisode:
    """A running episode and its record so far. Here an error of an environment becomes a record."""

    def __init__(
        self,
        environment: Environment,
        task: Task,
        *,
        policy_id: str,
        seed: int,
        limit: int,
        max_repeats: int | None,
        sample: int = 0,
    ) -> None:
        self._task = task
        self._policy_id = policy_id
        self._sample = sample
        self._seed = seed
        self._limit = limit
        self._max_repeats = max_repeats
        self._steps: tuple[Step, ...] = ()
        self._resources = ExitStack()
        self._score: float | None = None
        self._error = ""
        self.stop: StopReason | None = None
        try:
            self._episode = self._resources.enter_context(environment.open(task, seed=seed))
            self._observation = self._episode.observation
        except Exception as error:  # noqa: BLE001 - a crash of an environment ends the episode, not the run
            self._crash(error)

    def view(self) -> View:
        """Return what the policy sees now."""
        return View(task=self._task, history=self._steps, observation=self._observation, sample=self._sample)

    def step(self, decision: Decision) -> None:
        """Take the action of ``decision`` and record the result."""
        try:
            transition = self._episode.step(decision.action)
            is_stuck = self._max_repeats is not None and self._repeats(decision.action) > self._max_repeats
            self._steps += (
                Step(
                    observation=self._observation,
                    decision=decision,
                    reward=transition.reward,
                    listed_as=transition.listed_as,
                ),
            )
            self._observation = transition.observation
            if transition.done:
                self._end(StopReason.DONE)
            elif len(self._steps) == self._limit:
                self._end(StopReason.STEP_LIMIT)
            elif is_stuck:
                self._end(StopReason.STUCK)
        except Exception as error:  # noqa: BLE001 - as above
            self._crash(error)

    def fail(self, error: str) -> None:
        """End without a score, because of an ``error`` that is not the policy's fault."""
        self.stop = StopReason.INFRA_ERROR
        self._score = None
        self._error = error

    def trajectory(self) -> Trajectory:
        """Close the episode and return its record."""
        self.close()
        assert self.stop is not None  # noqa: S101 - called for finished episodes only
        return Trajectory(
            task=self._task,
            policy_id=self._policy_id,
            seed=self._seed,
            steps=self._steps,
            stop=self.stop,
            score=self._score,
            error=self._error,
            sample=self._sample,
        )

    def close(self) -> None:
        """Free the environment's resources for this episode."""
        try:
            self._resources.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._crash(error)

    def _repeats(self, action: str) -> int:
        """Return how often ``action`` was taken before on the current observation."""
        return sum(step.observation == self._observation and step.decision.action == action for step in self._steps)

    def _end(self, stop: StopReason) -> None:
        self._score = self._episode.score()
        self.stop = stop

    def _crash(self, error: Exception) -> None:
        logger.warning("%s: the environment crashed: %s: %s", self._task.id, type(error).__name__, error)
        self.fail(f"{type(error).__name__}: {error}")
