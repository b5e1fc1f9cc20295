"""The settings of a run."""

from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.components import StudentConfig, TeacherConfig, TrackerConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.launch import LaunchConfig
from leap_exp.core.settings import MISSING, setting, settings
from leap_exp.loop import LoopConfig
from leap_exp.teachers.config import ConstrainedTeacherConfig


@dataclass
class RunConfig(LoopConfig):
    """A run: the settings of the loop, the components, and where results go."""

    teacher: TeacherConfig = settings(TeacherConfig, "The teacher.")
    student: StudentConfig = settings(StudentConfig, "The student.")
    tracker: TrackerConfig = settings(TrackerConfig, "Where results are sent, besides the run folder.")
    launch: LaunchConfig = settings(LaunchConfig, "The devices of this machine.")
    run_dir: str = setting(MISSING, "Folder of the run, or of a sweep's runs; give it again to resume.")
    checkpoint: str | None = setting(
        None,
        "Folder round_NNN/student of a run, to evaluate that student (rounds=0); null for the student as it is.",
    )
    pi_0: str | None = setting(
        None, "Folder of a round 0 shared by several runs; the first one makes it (with seed 0), the others reuse it."
    )

    objective: str = setting(
        "success_rate",
        "What a run returns to a sweeper that optimises: a figure of its last round in summary.json, or a metric.",
    )

    def check_together(self) -> None:
        """Reject combinations that cannot run; raises ConfigError."""
        super().check_together()
        if self.rounds and not self.student.trainable:
            raise ConfigError(f"rounds={self.rounds} trains the student, but this one cannot be trained; set rounds=0.")
        if self.privilege.beta is not None and isinstance(self.teacher, ConstrainedTeacherConfig):
            raise ConfigError(
                f"privilege.beta={self.privilege.beta} would constrain a constrained teacher; set teacher.beta "
                "instead, or choose another teacher."
            )
        if self.pi_0 is not None and not self.rounds:
            raise ConfigError("rounds=0 only evaluates, so there is no round 0 to share; leave out pi_0.")
        if self.checkpoint is not None:
            self._check_checkpoint(self.checkpoint)
        for name, samples in (
            ("rollouts.per_task", self.rollouts.per_task),
            ("evaluation.samples", self.evaluation.samples or 1),
        ):
            if samples > 1 and not self.student.varies:
                raise ConfigError(
                    f"{name}={samples} would repeat the same episode, because the student does not draw its decisions; "
                    "set student.temperature (student.endpoint.temperature for a server's model) above 0."
                )

    def _check_checkpoint(self, folder: str) -> None:
        if self.rounds:
            raise ConfigError(f"checkpoint={folder} is for evaluation only; set rounds=0.")
        if not self.student.trainable:
            raise ConfigError(f"checkpoint={folder} needs a student that can be trained; choose another student.")
        if not Path(folder).is_dir():
            raise ConfigError(f"checkpoint={folder} is not a folder; give the round_NNN/student of a run.")
