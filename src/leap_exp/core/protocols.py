"""What an environment, a policy, a teacher, a trainer and a tracker must be able to do."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    Observation,
    PrivilegedFacts,
    Task,
    Trajectory,
    Transition,
    View,
)


class Episode(Protocol):
    """A live run of a task."""

    @property
    def observation(self) -> Observation:
        """What the student sees now."""

    def step(self, action: str) -> Transition:
        """Carry out ``action``; one that is not admissible is answered, never raised."""

    def score(self) -> float:
        """The score so far, in [0, 1]."""


class Oracle(Protocol):
    """The scripted expert of one task: knows the privileged facts and uses them as the disclosure allows."""

    def decide(self, view: View, disclosure: Disclosure, *, seed: int) -> Decision:
        """The best admissible action in ``view`` under ``disclosure``, with a reason.

        At ``Disclosure.NONE`` the decision depends on ``view`` alone. The same arguments give the same decision.
        """


class Environment(Protocol):
    """A set of tasks and a way to run them."""

    name: str

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``split``, in an order that never changes."""

    def open(self, task: Task, *, seed: int) -> AbstractContextManager[Episode]:
        """Start an episode of ``task``; leaving the context frees all it holds."""

    def privileged(self, task: Task) -> PrivilegedFacts:
        """What is hidden from the student at the start of ``task``."""

    def oracle(self, task: Task) -> Oracle:
        """The scripted expert for ``task``."""


class Policy(Protocol):
    """Anything that acts: a model, an API, a scripted expert."""

    @property
    def id(self) -> str:
        """A name that tells this policy from others, round included."""

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision]:
        """One decision a view; all views are of different running episodes."""


class Student(Policy, Protocol):
    """A policy that can be trained, saved, and asked how likely it finds a decision."""

    def logprobs(self, views: Sequence[View], decisions: Sequence[Decision]) -> Sequence[float]:
        """Log-probability (nats, summed over tokens) of each decision's action in its view."""


class Teacher(Protocol):
    """Corrects trajectories under a briefing."""

    @property
    def id(self) -> str:
        """A name that tells this teacher from others."""

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction, or recorded failure, a trajectory."""


class Trainer(Protocol):
    """Turns corrections into a better student."""

    def fit(self, student: Student, dataset: Sequence[Correction], *, out: Path, seed: int) -> Mapping[str, float]:
        """Train ``student`` on ``dataset`` and write the trained student's files to ``out``; returns metrics."""


class Tracker(Protocol):
    """Where metrics go."""

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Record ``metrics`` (names ``stage/name_unit``) of a round."""
