"""Roll out: a policy acts alone on tasks, in many episodes at once."""

import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from leap_exp.core.environments import Environment
from leap_exp.core.errors import DataError, EnvError
from leap_exp.core.limits import StepLimit, step_limit
from leap_exp.core.protocols import Policy, ProgressCallback
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import Settings, setting
from leap_exp.core.types import Decision, DecisionFailure, Step, StopReason, Task, Trajectory, View
from leap_exp.runs import RecordSpool
from leap_exp.stages.episodes import as_ready, in_turns
from leap_exp.stages.mixture import Mixture, Schedule, TeacherSteps

logger = logging.getLogger(__name__)


@dataclass
class RolloutsConfig(Settings):
    """Where the student acts in order to be corrected."""

    place: ClassVar[str] = "rollouts"

    tasks: int = setting(100, "Training tasks per round.", minimum=1)
    per_task: int = setting(1, "Episodes of each task, for a student that samples.", minimum=1)
    stop_when_stuck: bool = setting(False, "Whether an episode ends when the student repeats itself in a loop.")
    teacher_share: float = setting(
        0.0,
        "Probability β that the briefed teacher takes a step (DAgger's mixture); 0: the student acts alone.",
        minimum=0,
        maximum=1,
    )
    teacher_schedule: str = setting(
        "constant",
        "β in round i of N: constant (β), linear (β·(N+1-i)/N) or exponential (β to the power of i).",
        choices=tuple(Schedule),
    )
    teacher_steps: str = setting(
        "random",
        "Steps of the teacher, by a coin at each step: random (where it falls to the teacher), first (until it falls "
        "to the student, who then acts alone) or last (once it has fallen to the teacher).",
        choices=tuple(TeacherSteps),
    )


NO_SHARES: Mapping[str, float] = MappingProxyType({})


def sample_tasks(
    tasks: Sequence[Task], count: int, *, seed: int, advice: str = "", shares: Mapping[str, float] = NO_SHARES
) -> list[Task]:
    """Draw ``count`` different tasks, uniformly or, given its share, of each environment; see ``require_tasks``."""
    require_tasks(tasks, count, advice=advice, shares=shares)
    rng = random.Random(seed)
    if not shares:
        return rng.sample(list(tasks), count)
    drawn = [
        task
        for name, number in apportion(count, shares).items()
        for task in rng.sample([task for task in tasks if task.environment == name], number)
    ]
    rng.shuffle(drawn)
    return drawn


def require_tasks(
    tasks: Sequence[Task], count: int, *, advice: str = "", shares: Mapping[str, float] = NO_SHARES
) -> None:
    """Raise DataError if there are fewer than ``count`` tasks, or fewer than its share of an environment.

    ``advice`` says how to get more.
    """
    needed = apportion(count, shares) if shares else {"": count}
    present = Counter(task.environment for task in tasks) if shares else {"": len(tasks)}
    for name, number in needed.items():
        if number > present.get(name, 0):
            of = f" of {name}" if name else ""
            raise DataError(
                f"The run needs {number} tasks{of}, but the split has only {present.get(name, 0)}; lower the number"
                f"{f', or {advice}' if advice else ''}."
            )


def apportion(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many of ``count`` tasks each environment gets: its share, rounded by the largest remainder."""
    exact = {name: count * share / sum(shares.values()) for name, share in shares.items()}
    numbers = {name: int(value) for name, value in exact.items()}
    # Sorting keeps the order of equal remainders.
    for name in sorted(exact, key=lambda name: numbers[name] - exact[name])[: count - sum(numbers.values())]:
        numbers[name] += 1
    return numbers


def rollout(
    environment: Environment,
    policy: Policy,
    tasks: Sequence[Task],
    *,
    seed: int,
    max_steps: StepLimit,
    batch: int,
    on_progress: ProgressCallback,
    stop_when_stuck: bool = False,
    per_task: int = 1,
    mixture: Mixture | None = None,
    spool: RecordSpool[Trajectory] | None = None,
) -> Sequence[Trajectory]:
    """Run ``policy`` on each of ``tasks`` and return the trajectories in the order of the tasks and their samples.

    Up to ``batch`` episodes run at a time; when one ends, the next task starts. A policy that decides in batches gets
    all their views in every turn; one that answers view by view gets each as soon as it is ready. An inadmissible
    action is passed to the environment. An episode whose environment crashes, or whose policy fails to decide, ends
    with INFRA_ERROR and no score. The result does not depend on ``batch`` or on how long anything takes, unless the
    policy's decisions do.

    Args:
        environment: Runs the tasks.
        policy: Decides.
        tasks: The tasks, all different.
        seed: Seed of the episodes and of the policy.
        max_steps: Steps after which an episode ends.
        batch: Episodes at a time.
        on_progress: Called with the number of finished episodes.
        stop_when_stuck: Whether an episode ends once an action was repeated too often (``max_repeats``) in one place.
        per_task: Episodes of each task, which are numbered samples with a seed each.
        mixture: Who takes some of the policy's steps; None for nobody.
        spool: Takes the trajectories as they finish, so that they need not be held, and is returned; None for a list.

    Raises:
        EnvError: All episodes crashed.
    """
    samples = [(task, sample) for task in tasks for sample in range(per_task)]
    longest = max((step_limit(max_steps, task) for task in tasks), default=0)
    if estimate := policy.estimate([task for task, _ in samples], max_steps=longest):
        logger.info("Episodes: %s", estimate)
    results = _Results(len(samples), on_progress, spool)

    def opening(place: int) -> LiveEpisode:
        task, sample = samples[place]
        return LiveEpisode(
            environment,
            task,
            policy_id=policy.id,
            sample=sample,
            seed=derive_seed(seed, "episode", task.id, *([sample] if sample else [])),
            limit=step_limit(max_steps, task),
            max_repeats=environment.max_repeats_of(task) if stop_when_stuck else None,
        )

    decide = partial(_decide, policy, mixture, seed=seed)
    run = in_turns if mixture or not policy.concurrency else partial(as_ready, concurrency=policy.concurrency)
    run(decide, opening, results.count, live=batch, parallel_steps=environment.parallel_steps, on_end=results.add)
    return results.in_order()


def _decide(
    policy: Policy, mixture: Mixture | None, views: Sequence[View], *, seed: int
) -> list[tuple[Decision | DecisionFailure, str]]:
    """Return a decision for each view, and who took it: empty for the policy. A mixture's teacher decides in batches.

    The seed is the same in every call: a policy derives its randomness from it, the task, the step and the sample.
    """
    if mixture is not None:
        return mixture.decide(policy, views, seed=seed)
    return [(decision, "") for decision in policy.act(views, seed=seed)]


class _Results:
    """The trajectories of finished episodes: in a spool if there is one, otherwise held."""

    def __init__(self, count: int, on_progress: ProgressCallback, spool: RecordSpool[Trajectory] | None) -> None:
        self.count = count
        self._on_progress = on_progress
        self._spool = spool
        self._held: dict[int, Trajectory] = {}
        self._errors: list[str] = []
        self._ended = 0

    def add(self, place: int, trajectory: Trajectory) -> None:
        """Keep the trajectory of the episode with number ``place``."""
        self._ended += 1
        if trajectory.stop is StopReason.INFRA_ERROR:
            self._errors.append(trajectory.error)
        if self._spool is None:
            self._held[place] = trajectory
        else:
            self._spool.put(place, trajectory)
        self._on_progress(self._ended, self.count)

    def in_order(self) -> Sequence[Trajectory]:
        """Return the trajectories by number; raises EnvError if all episodes crashed."""
        if self._errors and len(self._errors) == self.count:
            raise EnvError(f"All {self.count} episodes crashed, the first with: {self._errors[0]}")
        return [self._held[place] for place in range(self.count)] if self._spool is None else self._spool


class LiveEpisode:
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

    def step(self, decision: Decision, *, taken_by: str = "") -> None:
        """Take the action of ``decision`` and record the result; ``taken_by`` is that of the ``Step``."""
        try:
            transition = self._episode.step(decision.action)
            is_stuck = self._max_repeats is not None and self._repeats(decision.action) > self._max_repeats
            self._steps += (
                Step(
                    observation=self._observation,
                    decision=decision,
                    reward=transition.reward,
                    listed_as=transition.listed_as,
                    taken_by=taken_by,
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
