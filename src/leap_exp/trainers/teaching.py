"""The model that a student is distilled from."""

from dataclasses import dataclass, replace

import torch

from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import Student
from leap_exp.tokens.engine import TrainableStudent
from leap_exp.trainers.choices import TeacherModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """Which model teaches.

    Attributes:
        kind: Which.
        decay: With ``TeacherModel.EMA``, the weight of the previous average when a round's student is added.
        other: With ``TeacherModel.OTHER``, the model's name.
        student: The student that teaches, if that depends on earlier rounds; None before round 0 is trained.
    """

    kind: TeacherModel
    decay: float = 0.0
    other: str | None = None
    student: Student | None = None

    def for_student(self, student: Student, *, round_index: int) -> "Teaching":
        """Return what teaches in the next round, given the student trained in round ``round_index``."""
        if self.kind not in (TeacherModel.ROUND_0, TeacherModel.EMA):
            return self
        if self.student is None or round_index == 0:
            return replace(self, student=student.local)
        if self.kind is TeacherModel.ROUND_0:
            return self
        mean = self.student.averaged(
            [self.student, student.local], [self.decay, 1 - self.decay], policy_id=f"{student.id}/{self.kind}"
        )
        return replace(self, student=mean)

    def model(self, start: TrainableStudent) -> torch.nn.Module | None:
        """Return the model that teaches, or None if it is the one that is trained.

        Raises:
            ConfigError: There is no such model yet, or it cannot be loaded.
        """
        if self.kind is TeacherModel.CURRENT:
            return None
        if self.other is not None:
            return start.with_model(self.other).frozen_model()
        teacher = start if self.kind is TeacherModel.START else self.student
        if not isinstance(teacher, TrainableStudent):
            raise ConfigError(f"trainer.teacher={self.kind} needs a student of round 0; set trainer.teacher=start.")
        return teacher.frozen_model()
