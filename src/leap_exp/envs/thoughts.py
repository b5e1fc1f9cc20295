"""An environment in which an agent can think instead of acting, as in ReAct (Yao et al. 2023)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from leap_exp.core.protocols import Environment, Episode, Oracle
from leap_exp.core.types import QUERY_SLOT, Observation, PrivilegedFacts, Task, Transition

THOUGHT = "think:"
"""How an action begins that is a thought."""

_ANSWER = "OK."


class EnvironmentWithThoughts(Environment):
    """Another environment that takes thoughts: it answers OK, changes nothing, and the thought takes a step."""

    def __init__(self, environment: Environment) -> None:
        self.name = environment.name
        self.max_repeats = environment.max_repeats
        self.prompts = environment.prompts
        self.parallel_steps = environment.parallel_steps
        self._environment = environment

    def prepare(self) -> None:
        """Check that this machine can run episodes."""
        self._environment.prepare()

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""
        return self._environment.splits()

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of ``split``."""
        return self._environment.tasks(split)

    def more_tasks(self, split: str) -> str:
        """Return advice on how to get more tasks in ``split``."""
        return self._environment.more_tasks(split)

    def shares(self, split: str) -> Mapping[str, float]:
        """Return each environment's share of the tasks that are drawn."""
        return self._environment.shares(split)

    def max_repeats_of(self, task: Task) -> int:
        """Return ``max_repeats`` of the environment that ``task`` belongs to."""
        return self._environment.max_repeats_of(task)

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return what the episodes of ``task`` depend on."""
        return self._environment.contents(task)

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator["EpisodeWithThoughts"]:
        """Start an episode of ``task``."""
        with self._environment.open(task, seed=seed) as episode:
            yield EpisodeWithThoughts(episode)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return what is hidden from the student at the start of ``task``."""
        return self._environment.privileged(task)

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``."""
        return self._environment.oracle(task)


class EpisodeWithThoughts(Episode):
    """A running episode that takes thoughts."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._observation = _with_thoughts(episode.observation)

    @property
    def observation(self) -> Observation:
        """What the student sees now; where actions are listed, a thought is one of them."""
        return self._observation

    def step(self, action: str) -> Transition:
        """Take ``action``, or answer a thought."""
        if action.startswith(THOUGHT):
            self._observation = replace(self._observation, text=_ANSWER)
            return Transition(observation=self._observation, reward=0.0, done=False)
        transition = self._episode.step(action)
        self._observation = _with_thoughts(transition.observation)
        return replace(transition, observation=self._observation)

    def score(self) -> float:
        """The score so far."""
        return self._episode.score()


def _with_thoughts(observation: Observation) -> Observation:
    actions = observation.admissible_actions
    if actions is None:
        return observation
    return replace(observation, admissible_actions=(*actions, f"{THOUGHT} {QUERY_SLOT}"))
