"""Several environments as one. Each task goes to the member that it belongs to, as that member's own task."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import zip_longest
from threading import BoundedSemaphore

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.environments import ConsistentWorlds, Environment, Episode, Oracle
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.types import EnvironmentPrompts, Observation, PrivilegedFacts, Task, Transition, View, foreign_task
from leap_exp.envs.joint.config import TEST_SPLIT, JointConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One of the environments.

    Attributes:
        environment: It.
        splits: Its splits, by the names that they have here.
        turn: Held while one of its episodes is opened, stepped or closed: by as many as it allows at a time.
    """

    environment: Environment
    splits: Mapping[str, str]
    turn: BoundedSemaphore = field(repr=False)


class JointEnvironment(Environment):
    """The members' tasks, in turn, under their own ids. They name their environment, which runs and teaches them.

    It has two splits: ``train_split`` with the members' own training splits, and "test".
    """

    name = "joint"

    def __init__(self, config: JointConfig) -> None:
        self._config = config
        self._members = {name: self._build(name, settings) for name, settings in config.member_settings.items()}
        environments = {name: member.environment for name, member in self._members.items()}
        self.max_repeats = max(each.max_repeats for each in environments.values())
        self.parallel_steps = max(each.parallel_steps for each in environments.values())
        self.prompts = EnvironmentPrompts(
            student="", members={name: each.prompts for name, each in environments.items()}
        )
        self._tasks = lru_cache(self._list_tasks)

    def _build(self, name: str, settings: EnvironmentConfig) -> _Member:
        with _settings_named(name):
            environment = settings.build()
        test_split = self._config.test_splits.get(name, TEST_SPLIT)
        return _Member(
            environment=environment,
            splits={self._config.train_split: settings.train_split, TEST_SPLIT: test_split},
            turn=BoundedSemaphore(environment.parallel_steps),
        )

    def prepare(self) -> None:
        """Check that this machine can run episodes of all members."""
        for name, member in self._members.items():
            with _settings_named(name):
                member.environment.prepare()

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of ``split``, one of each member after the other as long as it has any.

        Raises:
            ConfigError: There is no such split, here or in a member.
        """
        return self._tasks(split)

    def more_tasks(self, split: str) -> str:
        """Return the advice of those members that have any."""
        if split not in (self._config.train_split, TEST_SPLIT):
            return ""
        advice = {name: each.environment.more_tasks(each.splits[split]) for name, each in self._members.items()}
        return " or ".join(_with_member(text, name) for name, text in advice.items() if text)

    def shares(self, split: str) -> Mapping[str, float]:
        """Return the members' shares: those of the settings or, by temperature, of their numbers of tasks."""
        shares = self._config.shares
        if shares is None:
            exponent = 1 / self._config.temperature
            tasks = self.tasks(split)
            numbers = {name: sum(task.environment == name for task in tasks) for name in self._members}
            shares = {name: number**exponent for name, number in numbers.items()}
        return {name: shares[name] / sum(shares.values()) for name in self._members}

    def max_repeats_of(self, task: Task) -> int:
        """Return that of the task's environment."""
        _, member, own = self._own(task)
        return member.environment.max_repeats_of(own)

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return what the task's environment says that its episodes depend on."""
        name, member, own = self._own(task)
        with _settings_named(name):
            return member.environment.contents(own)

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator["JointEpisode"]:
        """Start an episode in the task's environment."""
        name, member, own = self._own(task)
        with ExitStack() as resources:
            with member.turn, _settings_named(name):
                episode = resources.enter_context(member.environment.open(own, seed=seed))
            try:
                yield JointEpisode(episode, member.turn)
            finally:
                with member.turn:
                    resources.close()

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the facts that the task's environment has about it."""
        name, member, own = self._own(task)
        with _settings_named(name):
            return member.environment.privileged(own)

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert of the task's environment."""
        name, member, own = self._own(task)
        with _settings_named(name):
            return member.environment.oracle(own)

    def oracle_with_facts_of(self, task: Task, other: Task) -> Oracle | None:
        """Return the scripted expert of the task's environment that believes the facts about another of its tasks."""
        name, member, own = self._own(task)
        with _settings_named(name):
            return member.environment.oracle_with_facts_of(own, self._own(other)[2])

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds | None:
        """Return the worlds that the task's environment takes for consistent with a history."""
        name, member, own = self._own(view.task)
        with _settings_named(name):
            return member.environment.consistent_worlds(replace(view, task=own), limit=limit, seed=seed)

    def _list_tasks(self, split: str) -> Sequence[Task]:
        splits = (self._config.train_split, TEST_SPLIT)
        if split not in splits:
            raise ConfigError(
                f"Unknown split {split!r}: choose one of {', '.join(splits)}. env.test_splits says which splits of the "
                "members these are."
            )
        lists = []
        for name, member in self._members.items():
            with _settings_named(name):
                own = member.environment.tasks(member.splits[split])
            lists.append([replace(task, split=split, environment=name) for task in own])
        return tuple(task for turn in zip_longest(*lists) for task in turn if task is not None)

    def _own(self, task: Task) -> tuple[str, _Member, Task]:
        """Return the member that ``task`` belongs to, and the task as it is known there, or raise DataError."""
        member = self._members.get(task.environment)
        if member is None:
            raise foreign_task(task, self._members)
        own = replace(task, split=member.splits.get(task.split, task.split), environment="")
        return task.environment, member, own


class JointEpisode(Episode):
    """A member's episode, whose steps wait until the member takes them."""

    def __init__(self, episode: Episode, turn: BoundedSemaphore) -> None:
        self._episode = episode
        self._turn = turn

    @property
    def observation(self) -> Observation:
        """What the student sees now."""
        return self._episode.observation

    def step(self, action: str) -> Transition:
        """Take ``action``."""
        with self._turn:
            return self._episode.step(action)

    def score(self) -> float:
        """Return the score so far, in [0, 1]."""
        with self._turn:
            return self._episode.score()


@contextmanager
def _settings_named(member: str) -> Iterator[None]:
    """Let an error of a member name its settings as they are called here: ``env.webshop.goals``, not ``env.goals``."""
    try:
        yield
    except LeapError as error:
        raise type(error)(_with_member(str(error), member)) from error


def _with_member(text: str, member: str) -> str:
    return re.sub(rf"\benv\.(?!{re.escape(member)}\.)(?=[a-z_])", f"env.{member}.", text)
