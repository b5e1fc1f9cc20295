"""Rollout: a policy acts alone on tasks, many episodes at once."""

import logging
import random
from collections.abc import Sequence
from contextlib import ExitStack

from leap_exp.core.errors import DataError, EnvError
from leap_exp.core.protocols import Environment, MeteredPolicy, Policy, ProgressCallback
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, DecisionFailure, Step, StopReason, Task, Trajectory, View

logger = logging.getLogger(__name__)


def sample_tasks(tasks: Sequence[Task], count: int, *, seed: int) -> list[Task]:
    """``count`` different tasks, drawn uniformly; raises DataError if there are fewer."""
    if count > len(tasks):
        raise DataError(f"{count} tasks are asked for, but the split has {len(tasks)}: ask for at most that many.")
    return random.Random(seed).sample(list(tasks), count)


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
) -> list[Trajectory]:
    """Run ``policy`` once on each of ``tasks``; the trajectories come in the order of the tasks.

    Up to ``batch`` episodes are live at a time: a finished one leaves and the next task takes its place. An action that
    is not admissible goes to the environment as it is. An episode whose environment breaks, or whose policy fails to
    decide, ends as INFRA_ERROR with no score. With ``stop_when_stuck`` an episode ends when the policy does the same on
    the same observation more often than the environment's ``revisits`` allow: what follows is a loop, from which there
    is little to learn. The result depends on ``seed`` but not on ``batch``, as far as the policy's decisions do not.
    """
    if isinstance(policy, MeteredPolicy):
        forecast = policy.forecast(tasks, max_steps=max_steps)
        if forecast:
            logger.info("Episodes: %s", forecast)
    finished: dict[int, Trajectory] = {}
    waiting = list(enumerate(tasks))[::-1]
    live: dict[int, _LiveEpisode] = {}
    try:
        while waiting or live:
            while waiting and len(live) < batch:
                position, task = waiting.pop()
                live[position] = _LiveEpisode(
                    environment,
                    task,
                    policy_id=policy.id,
                    seed=derive_seed(seed, "episode", task.id),
                    limit=max_steps,
                    revisits=environment.revisits if stop_when_stuck else None,
                )
            acting = [episode for episode in live.values() if episode.stop is None]
            # The same seed at every call: policies derive their draws from it, the task and the length of the history.
            decisions = policy.act([episode.view() for episode in acting], seed=seed) if acting else []
            for episode, decision in zip(acting, decisions, strict=True):
                if isinstance(decision, DecisionFailure):
                    episode.fail(decision.error)
                else:
                    episode.step(decision)
            for position in [position for position, episode in live.items() if episode.stop is not None]:
                finished[position] = live.pop(position).trajectory()
            on_progress(len(finished), len(tasks))
    finally:
        for episode in live.values():
            episode.close()
    trajectories = [finished[position] for position in range(len(tasks))]
    if trajectories and all(trajectory.stop is StopReason.INFRA_ERROR for trajectory in trajectories):
        raise EnvError(f"All {len(trajectories)} episodes broke, the first with: {trajectories[0].error}")
    return trajectories


class _LiveEpisode:
    """A running episode and its record so far; the boundary where an error of others becomes a record."""

    def __init__(
        self,
        environment: Environment,
        task: Task,
        *,
        policy_id: str,
        seed: int,
        limit: int,
        revisits: int | None,
    ) -> None:
        self._task = task
        self._policy_id = policy_id
        self._seed = seed
        self._limit = limit
        self._revisits = revisits
        self._steps: tuple[Step, ...] = ()
        self._resources = ExitStack()
        self._score: float | None = None
        self._error = ""
        self.stop: StopReason | None = None
        try:
            self._episode = self._resources.enter_context(environment.open(task, seed=seed))
            self._observation = self._episode.observation
        except Exception as error:  # noqa: BLE001 - whatever breaks in an environment is a record, not a crash
            self._break(error)

    def view(self) -> View:
        """What the policy sees now."""
        return View(task=self._task, history=self._steps, observation=self._observation)

    def step(self, decision: Decision) -> None:
        """Carry out ``decision`` and note what came of it."""
        try:
            transition = self._episode.step(decision.action)
            is_stuck = self._revisits is not None and self._repeats(decision.action) > self._revisits
            self._steps += (Step(observation=self._observation, decision=decision, reward=transition.reward),)
            self._observation = transition.observation
            if transition.done:
                self._end(StopReason.DONE)
            elif len(self._steps) == self._limit:
                self._end(StopReason.STEP_LIMIT)
            elif is_stuck:
                self._end(StopReason.STUCK)
        except Exception as error:  # noqa: BLE001 - as above
            self._break(error)

    def fail(self, error: str) -> None:
        """End without a score: ``error`` is nothing that the policy did."""
        self.stop = StopReason.INFRA_ERROR
        self._score = None
        self._error = error

    def trajectory(self) -> Trajectory:
        """The record of the episode, which ends here."""
        self.close()
        assert self.stop is not None  # noqa: S101 - only finished episodes are asked
        return Trajectory(
            task=self._task,
            policy_id=self._policy_id,
            seed=self._seed,
            steps=self._steps,
            stop=self.stop,
            score=self._score,
            error=self._error,
        )

    def close(self) -> None:
        """Free what the environment holds for this episode."""
        try:
            self._resources.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._break(error)

    def _repeats(self, action: str) -> int:
        """How often ``action`` was taken before on what is observed now."""
        return sum(step.observation == self._observation and step.decision.action == action for step in self._steps)

    def _end(self, stop: StopReason) -> None:
        self._score = self._episode.score()
        self.stop = stop

    def _break(self, error: Exception) -> None:
        logger.warning("%s: the environment broke: %s: %s", self._task.id, type(error).__name__, error)
        self.fail(f"{type(error).__name__}: {error}")
