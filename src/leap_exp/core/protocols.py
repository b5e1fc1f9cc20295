"""The contracts between the loop and its parts: policies, students, teachers, trainers and trackers.

The contracts of environments are in ``leap_exp.core.environments``.

A part is any object with these methods. Methods with a body are optional: a class that names the protocol as its base
inherits the default, so that it only writes what it can do.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from leap_exp.core.errors import ConfigError
from leap_exp.core.launch import AUTO, LaunchConfig
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    DecisionFailure,
    Task,
    Trajectory,
    View,
)

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished units (episodes, trajectories, optimizer steps) of a stage and their total."""


class Policy(Protocol):
    """Anything that acts: a model, a model behind a server, a scripted expert.

    Attributes:
        id: A name that identifies this policy, its round included.
        concurrency: For a policy that answers view by view, such as a model behind a server: how many calls of ``act``
            it takes at a time, from different threads and with one view each. 0 for a policy that decides in batches.
    """

    id: str
    concurrency: int = 0

    @abstractmethod
    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:
        """Return one decision per view. The views belong to different episodes; a failure ends its episode unscored.

        A policy that samples must derive its randomness from ``seed`` and ``View.scope`` (task, step and sample), so
        that a decision does not depend on the rest of the batch.
        """

    @property
    def greedy(self) -> "Policy":
        """The same policy, making its likeliest decision where it would draw one."""
        return self

    def usage(self) -> Mapping[str, float]:
        """Return what was used since the last call, such as requests, tokens and dollars, and reset the counters.

        Keys are metric names without the stage, such as ``replies_count`` and ``cost_dollars``. Empty if nothing was
        used. Keys that end in ``_seconds``, ``paid_dollars``, ``cache_hits_count`` or ``retries_count`` may differ
        between equal runs, all others must not.
        """
        return {}

    def estimate(self, tasks: Sequence[Task], *, max_steps: int) -> str:
        """Describe what acting for up to ``max_steps`` steps in each of ``tasks`` will cost; empty if nothing."""
        return ""


@runtime_checkable
class Student(Policy, Protocol):
    """A policy that can be trained, loaded from a folder, and asked for the probability of a decision."""

    @abstractmethod
    def logprobs(self, corrections: Sequence[Correction]) -> Sequence[float]:
        """Return the log-probability of the teacher's decision at each step, in nats, summed over its tokens.

        The result has one value per step, in the order of the corrections and their steps. A student without reasons
        scores the action alone. A student restricted to the admissible actions is scored among those.
        """

    @abstractmethod
    def load(self, folder: Path, *, policy_id: str) -> Self:
        """Return this student with the weights that ``Trainer.fit`` wrote to ``folder``, named ``policy_id``."""

    @property
    def local(self) -> "Student":
        """The same student computed in this process, for a student that acts through a server."""
        return self

    def action_logprobs(
        self,
        views: Sequence[View],
        actions: Sequence[Sequence[str]],
        *,
        reasons: Sequence[str],
        briefings: Sequence[Briefing] | None = None,
    ) -> Sequence[Mapping[str, float]]:
        """Return the log-probability (nats) of each of the ``actions`` in each view, given that view's reason.

        A student restricted to the admissible actions is scored among those, any other among all texts. With
        ``briefings`` the student reads the privileged facts, as when it teaches.

        Raises:
            ConfigError: This student has no action probabilities.
        """
        raise ConfigError(f"The student {self.id!r} cannot score actions; choose a student with local weights.")

    def action_lengths(self, actions: Sequence[str]) -> Sequence[int]:
        """Return the number of tokens of each action; 1 for a student without tokens."""
        return [1] * len(actions)

    def advise(self, views: Sequence[View], briefings: Sequence[Briefing]) -> Sequence[Decision]:
        """Return one decision per view, taken as ``greedy`` does but with the briefing in the prompt.

        Without facts the decisions are those of ``greedy``.

        Raises:
            ConfigError: This student cannot read a briefing.
        """
        raise ConfigError(f"The student {self.id!r} cannot be its own teacher; choose a student with local weights.")

    def averaged(self, students: Sequence[Self], weights: Sequence[float], *, policy_id: str) -> Self:
        """Return a student, not for training, whose weights are the weighted mean of those of ``students``.

        Raises:
            ConfigError: This student has no weights to average.
        """
        raise ConfigError(f"The student {self.id!r} has no weights to average; use teacher.snapshot=live or round0.")


class Teacher(Protocol):
    """Corrects trajectories, given a briefing for each.

    Attributes:
        id: A name that identifies this teacher.
        concurrency: For a teacher that answers trajectory by trajectory: how many calls of ``correct`` it takes at a
            time, from different threads and with one trajectory each. 0 for one that corrects in batches.
    """

    id: str
    concurrency: int = 0

    @abstractmethod
    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return one correction, or recorded failure, per trajectory."""

    def correct_steps(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing], steps: Sequence[Collection[int]]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return what ``correct`` does, limited to the given ``steps`` of each trajectory (``Correction.limited_to``).

        A teacher that decides step by step overrides it, so that the other steps cost nothing.
        """
        return [
            result.limited_to(asked) if isinstance(result, Correction) else result
            for result, asked in zip(self.correct(trajectories, briefings), steps, strict=True)
        ]

    def for_student(self, student: Student, *, round_index: int) -> "Teacher":
        """Return the teacher of the next round, given the student trained in round ``round_index``.

        The loop calls it after each round's training, in order from round 0, also in a resumed run. Teachers that do
        not depend on the student return themselves.
        """
        return self

    def action_values(
        self,
        corrections: Sequence[Correction],
        candidates: Sequence[Sequence[Sequence[str]]],
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return the value of each candidate action at each step of this teacher's own ``corrections``.

        The unit is the teacher's own. Its own decision has the highest value; an action that is left out counts as
        -inf. A step's mapping is empty where the teacher only knows its decision.
        """
        return [[{}] * len(correction.decisions) for correction in corrections]

    def usage(self) -> Mapping[str, float]:
        """Return what was used since the last call, as ``Policy.usage`` does."""
        return {}

    def estimate(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """Describe what correcting ``trajectories`` will cost; empty if nothing."""
        return ""


class Trainer(Protocol):
    """Turns corrections into a better student."""

    @property
    def cloning(self) -> "Trainer":
        """What trains π_0 on the demonstrations, where no decision was changed; by default the trainer itself."""
        return self

    def for_student(self, student: Student, *, round_index: int) -> "Trainer":
        """Return the trainer of the next round, given the student trained in round ``round_index``.

        The loop calls it as it calls ``Teacher.for_student``. Trainers that do not depend on earlier students return
        themselves.
        """
        return self

    def launched(self, launch: LaunchConfig) -> "Trainer":
        """Return this trainer, working in as many processes as ``launch`` says.

        Raises:
            ConfigError: It only works in one process.
        """
        if launch.devices in ("1", AUTO):
            return self
        raise ConfigError(f"launch.devices={launch.devices}, but this trainer works in one process; set it to 1.")

    @abstractmethod
    def fit(
        self,
        student: Student,
        train: Sequence[Correction],
        validation: Sequence[Correction],
        *,
        out: Path,
        seed: int,
        on_progress: ProgressCallback,
    ) -> Mapping[str, float]:
        """Train ``student`` on ``train`` and write the trained student's files to ``out``, a new folder.

        ``validation`` holds corrections of tasks that are never trained on; it may be empty.

        Returns:
            Metrics named ``train/name_unit``. Names that end in ``_seconds`` or ``_per_second`` are wall-clock figures;
            they are kept apart because they differ between equal runs.
        """


class Tracker(Protocol):
    """Receives the results of a run. A resumed run logs the same things again, which must change nothing."""

    @abstractmethod
    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Record the ``metrics`` of a round (names ``stage/name_unit``)."""

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Record the trajectories of the stage ``name``."""
        return

    def log_corrections(self, corrections: Sequence[Correction], *, round_index: int) -> None:
        """Record the corrections of a round."""
        return

    def log_student(self, folder: Path, *, round_index: int) -> None:
        """Record the trained student in ``folder``, the successor of the previous round's."""
        return
