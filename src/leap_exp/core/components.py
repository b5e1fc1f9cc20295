"""Base classes for the settings of environments, teachers, students, trainers and trackers.

A new component subclasses one of them, names what it builds (or overrides ``build``) and registers the class as an
entry point, such as ``leap_exp.environments``; see docs/tutorial.md.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from leap_exp.core.environments import Environment
from leap_exp.core.limits import StepLimits
from leap_exp.core.protocols import Policy, Teacher, Tracker, Trainer
from leap_exp.core.settings import Settings, setting


def load(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    """Import and return what ``module:name`` names. Heavy libraries are so imported only when they are used."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


@dataclass
class EnvironmentConfig(Settings):
    """Settings that every environment has.

    Class attributes:
        builds: ``module:name`` of the environment's class; it is called with these settings.
        commands: Name of a module with the environment's commands, imported when one is used. It may define
            ``check``, ``bench`` and ``play`` (functions that become ``leap check NAME`` and so on), ``DATASETS`` (what
            ``leap data`` installs), and for ``leap bench environments`` either ``ORIGINAL_SETTINGS`` (settings that run
            the original) or ``ORIGINAL_STEPS_PER_SECOND`` (its recorded speed). Empty if there are none.
    """

    place: ClassVar[str] = "env"
    builds: ClassVar[str] = ""
    commands: ClassVar[str] = ""

    train_split: str = setting("train", "Split for demonstrations and rollouts.")
    max_steps_train: int = setting(20, "Maximum steps of a training episode.", minimum=1)
    max_steps_eval: int = setting(30, "Maximum steps of an evaluation episode.", minimum=1)

    @property
    def step_limits(self) -> StepLimits:
        """The maximum steps of episodes in training and in evaluation."""
        return StepLimits(train=self.max_steps_train, evaluate=self.max_steps_eval)

    def build(self) -> Environment:
        """Return the environment."""
        environment: Environment = load(self.builds)(self)
        return environment


@dataclass
class TeacherConfig(Settings):
    """Settings that every teacher has."""

    place: ClassVar[str] = "teacher"

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """Return the teacher for tasks of ``environment``; ``place`` is where its settings are, for messages."""
        raise NotImplementedError


@dataclass
class StudentConfig(Settings):
    """Settings that every student has.

    Class attributes:
        builds: ``module:name`` of the student's class; it is called with these settings and the environment.
        trainable: Whether ``build`` returns a ``Student``. If not, the policy can only be evaluated (``rounds=0``).
    """

    place: ClassVar[str] = "student"
    builds: ClassVar[str] = ""
    trainable: ClassVar[bool] = False

    def build(self, environment: Environment) -> Policy:
        """Return the student for tasks of ``environment``, before any training."""
        student: Policy = load(self.builds)(self, environment)
        return student

    @property
    def varies(self) -> bool:
        """Whether several episodes of a task may differ, because the student draws its decisions."""
        return False

    def provenance(self) -> Mapping[str, object]:
        """Return what identifies the student beyond its settings, such as a hash of its weights."""
        return {}


@dataclass
class TrainerConfig(Settings):
    """Settings that every trainer has.

    Class attributes:
        builds: ``module:name`` of the trainer's class; it is called with these settings.
    """

    place: ClassVar[str] = "trainer"
    builds: ClassVar[str] = ""

    validation_share: float = setting(
        0.15, "Share of tasks kept for validation; the same tasks in every round.", minimum=0, maximum=1
    )

    def build(self) -> Trainer:
        """Return the trainer."""
        trainer: Trainer = load(self.builds)(self)
        return trainer


@dataclass
class TrackerConfig(Settings):
    """Settings that every tracker has."""

    place: ClassVar[str] = "tracker"

    def open(
        self, run_dir: Path, *, config: Mapping[str, object], sweep: str | None
    ) -> AbstractContextManager[Tracker]:
        """Open the tracker of a run.

        Args:
            run_dir: The run folder.
            config: The run's whole configuration.
            sweep: Name of the sweep that the run belongs to, or None.
        """
        raise NotImplementedError
