"""An environment in which an agent can think instead of acting, as in ReAct (Yao et al. 2023)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from leap_exp.core.environments import ConsistentWorlds, Episode, Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import QUERY_SLOT, Decision, Observation, PrivilegedFacts, Step, Task, Transition, View
from leap_exp.envs.wrapped import WrappedEnvironment

THOUGHT = "think:"
"""How an action begins that is a thought."""

_ANSWER = "OK."
_SLOT = f"{THOUGHT} {QUERY_SLOT}"


class EnvironmentWithThoughts(WrappedEnvironment):
    """Another environment that takes thoughts: it answers OK, changes nothing, and the thought takes a step."""

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator["EpisodeWithThoughts"]:
        """Start an episode of ``task``."""
        with self._environment.open(task, seed=seed) as episode:
            yield EpisodeWithThoughts(episode)

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds | None:
        """Return the worlds that are consistent with a history, in which thoughts tell nothing."""
        worlds = self._environment.consistent_worlds(_without_thoughts(view), limit=limit, seed=seed)
        return worlds and replace(worlds, oracles=tuple(map(OracleAmongThoughts, worlds.oracles)))

    def oracle_with_facts_of(self, task: Task, other: Task) -> Oracle | None:
        """Return the scripted expert for ``task`` that believes the facts about ``other``."""
        oracle = self._environment.oracle_with_facts_of(task, other)
        return oracle and OracleAmongThoughts(oracle)


class OracleAmongThoughts(Oracle):
    """A scripted expert to whose facts thoughts mean nothing."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the expert's decision."""
        return self._oracle.decide(view, disclosure, seed=seed, taken=taken)

    def action_values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """Return the expert's values."""
        return self._oracle.action_values(view, disclosure)

    def facts_about(self, task: Task) -> PrivilegedFacts | None:
        """Return the expert's facts."""
        return self._oracle.facts_about(task)

    def fits(self, view: View) -> bool:
        """Return whether the history without thoughts agrees with the expert's facts."""
        return self._oracle.fits(_without_thoughts(view))


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
    return replace(observation, admissible_actions=(*actions, _SLOT))


def _without_thoughts(view: View) -> View:
    """Return ``view`` as the environment alone would have shown it."""
    history: list[Step] = []
    # What the answer to a thought has taken the place of.
    hidden: Observation | None = None
    for step in view.history:
        observation = hidden or _plain(step.observation)
        hidden = observation if step.decision.action.startswith(THOUGHT) else None
        if hidden is None:
            history.append(replace(step, observation=observation))
    return replace(view, history=tuple(history), observation=hidden or _plain(view.observation))


def _plain(observation: Observation) -> Observation:
    actions = observation.admissible_actions
    return observation if actions is None else replace(observation, admissible_actions=actions[:-1])
