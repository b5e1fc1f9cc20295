"""What an environment, a policy, a teacher, a trainer and a tracker must be able to do."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    DecisionFailure,
    Observation,
    PrivilegedFacts,
    Task,
    Trajectory,
    Transition,
    View,
)

ProgressCallback = Callable[[int, int], None]
"""Told how many of how many units (episodes, trajectories, optimiser steps) of a stage are done."""


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

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """The best admissible action in ``view`` under ``disclosure``, with a reason.

        ``taken`` is what a student did there, if one is to be corrected: where that is as good under the disclosure as
        what the oracle would do itself, the oracle leaves it. At ``Disclosure.NONE`` the decision depends on ``view``
        and ``taken`` alone. The same arguments give the same decision.
        """


@runtime_checkable
class ValuingOracle(Oracle, Protocol):
    """An oracle that can say what every action is worth, not only which is best."""

    def values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """The steps that are left to go after each admissible action, negated; -inf where the task is lost by it.

        The action that ``decide`` takes is worth most. Empty where it does not decide by what is left to go: under
        disclosures that leave the facts aside, and in tasks that are lost already.
        """


class Environment(Protocol):
    """A set of tasks and a way to run them.

    ``revisits`` is how often it can be sensible to do the same again on the same observation: a shopper goes back to a
    product that it has compared with another. Beyond that, repetition is a loop.
    """

    name: str
    revisits: int

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

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:
        """One decision a view, or a failure, which ends its episode without a score; all views are of different ones.

        A policy that draws at random derives its draws from ``seed``, the task's id and the length of the history, so
        that a decision does not depend on what else is in the batch.
        """


class Student(Policy, Protocol):
    """A policy that can be trained, saved, and asked how likely it finds a decision."""

    def logprobs(self, corrections: Sequence[Correction]) -> Sequence[float]:
        """Log-probability (nats, summed over tokens) of the teacher's decision at each step, in the step's view.

        One a step, corrections in order and their steps in order. A student that gives no reasons is asked for the
        action alone; one that chooses among the admissible actions, for its probability among those.
        """

    def load(self, folder: Path, *, policy_id: str) -> Self:
        """This student with the weights that ``Trainer.fit`` wrote to ``folder``, under the name ``policy_id``."""


@runtime_checkable
class WeighingStudent(Student, Protocol):
    """A student that can say how likely it finds any action, not the teacher's alone."""

    def action_logprobs(
        self,
        views: Sequence[View],
        actions: Sequence[Sequence[str]],
        *,
        reasons: Sequence[str],
        briefings: Sequence[Briefing] | None = None,
    ) -> Sequence[Mapping[str, float]]:
        """Log-probability (nats) of each of a view's ``actions``; of one that gives reasons, after the view's reason.

        Actions that it chooses among are weighed against those, a text of its own against all texts; the actions of
        one view are weighed alike. With ``briefings``, as it is when it teaches, else as it is when it acts.
        """


@runtime_checkable
class BriefableStudent(WeighingStudent, Protocol):
    """A student that can be its own teacher: it decides with a briefing in its prompt too, where it does not act."""

    def advise(self, views: Sequence[View], briefings: Sequence[Briefing]) -> Sequence[Decision]:
        """One decision a view under its briefing, taken as ``act`` does; without facts the same as ``act``'s."""

    def averaged(self, students: Sequence[Self], shares: Sequence[float], *, policy_id: str) -> Self:
        """A student, not to be trained, whose weights are the mean of those of ``students``, weighted by ``shares``."""


@runtime_checkable
class ServedStudent(Student, Protocol):
    """A student that acts through a server."""

    @property
    def in_process(self) -> Student:
        """The same student computed here, for what its server does not answer."""


class Teacher(Protocol):
    """Corrects trajectories under a briefing."""

    @property
    def id(self) -> str:
        """A name that tells this teacher from others."""

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction, or recorded failure, a trajectory."""


@runtime_checkable
class ValuingTeacher(Teacher, Protocol):
    """A teacher that can say what other actions than its own are worth to it."""

    def values(
        self, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """What each of a step's ``candidates`` is worth, at each step of ``corrections``, which are its own.

        The unit is the teacher's. Its own decision is worth most. An action left out is worth -inf; a step's values
        are empty where it cannot say.
        """


@runtime_checkable
class FollowingTeacher(Teacher, Protocol):
    """A teacher that goes by who the student is by now."""

    def follow(self, student: Student, *, round_index: int) -> None:
        """Hear that ``student`` is π_i of round i: told of every round in turn, from 0 on, in a resumed run again."""


@runtime_checkable
class Metered(Protocol):
    """A teacher or policy that uses what is counted or paid for, such as tokens of a server."""

    def account(self) -> Mapping[str, float]:
        """What was used since this was last asked, as metrics without a stage's name; empty if nothing was.

        Names such as ``replies_count`` and ``cost_dollars``. Those that the journal keeps apart (``_seconds``,
        ``paid_dollars``, ``cache_hits_count``, ``retries_count``) may differ between equal runs, the others must not.
        """


@runtime_checkable
class MeteredTeacher(Teacher, Metered, Protocol):
    """A metered teacher, which can say beforehand what corrections will cost."""

    def forecast(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """What correcting ``trajectories`` will use, in a few words; empty if that is nothing."""


@runtime_checkable
class MeteredPolicy(Policy, Metered, Protocol):
    """A metered policy, which can say beforehand what acting will cost."""

    def forecast(self, tasks: Sequence[Task], *, max_steps: int) -> str:
        """What at most ``max_steps`` steps in each of ``tasks`` will use, in a few words; empty if that is nothing."""


class Trainer(Protocol):
    """Turns corrections into a better student."""

    def holds_out(self, task: Task) -> bool:
        """Whether trajectories of ``task`` are kept for validation; the same in every round, and never trained on."""

    def fit(
        self, student: Student, dataset: Sequence[Correction], *, out: Path, seed: int, on_progress: ProgressCallback
    ) -> Mapping[str, float]:
        """Train ``student`` on ``dataset`` and write the trained student's files to ``out``, a new folder.

        Returns metrics (names ``train/name_unit``). Names that end in ``_seconds`` or ``_per_second`` are wall-clock
        figures, which are kept apart because they differ between equal runs.
        """


class Tracker(Protocol):
    """Where results go. Logging the same again (a resumed run does) changes nothing."""

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Record ``metrics`` (names ``stage/name_unit``) of a round."""

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Record the trajectories of a stage ``name`` of a round."""

    def log_corrections(self, corrections: Sequence[Correction], *, round_index: int) -> None:
        """Record the corrections of a round."""

    def log_student(self, folder: Path, *, round_index: int) -> None:
        """Record the student that a round's training left in ``folder``; it descends from the round before."""


class Progress(Protocol):
    """Who is told how a run goes."""

    def stage(self, name: str, *, round_index: int) -> AbstractContextManager[ProgressCallback]:
        """Announce a stage of a round; inside the context, the callback says how far it is."""
