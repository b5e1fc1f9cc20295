"""The schema of a run."""

from dataclasses import dataclass
from pathlib import Path

from leap_exp.aggregate import Aggregation
from leap_exp.config.environments import EnvConfig
from leap_exp.config.schema import require_at_least, require_choice, require_share, setting, settings
from leap_exp.config.students import StudentConfig
from leap_exp.config.teachers import PrivilegeConfig, TeacherConfig
from leap_exp.config.trackers import TrackerConfig
from leap_exp.config.trainers import TrainerConfig
from leap_exp.core.errors import ConfigError


@dataclass
class DemonstrationsConfig:
    """What π_0 is cloned from."""

    count: int = setting(100, "Training tasks that the history-only expert demonstrates.")
    source: str = setting("expert", "expert, or a trajectories.jsonl to take the demonstrations from.")

    def __post_init__(self) -> None:
        """Refuse no demonstrations, and a file that is not there."""
        require_at_least("demonstrations.count", self.count, 1)
        if self.source != "expert" and not Path(self.source).is_file():
            raise ConfigError(f"demonstrations.source={self.source} is neither 'expert' nor a file.")


@dataclass
class RolloutsConfig:
    """Where the student acts to be corrected."""

    tasks: int = setting(100, "Training tasks a round.")
    stop_when_stuck: bool = setting(False, "Whether an episode ends when the student goes round in circles.")

    def __post_init__(self) -> None:
        """Refuse a round without tasks."""
        require_at_least("rollouts.tasks", self.tasks, 1)


@dataclass
class CorrectConfig:
    """Which trajectories the teacher corrects."""

    max_score: float = setting(0.0, "Trajectories that scored this or less are corrected; 1 for all.")

    def __post_init__(self) -> None:
        """Refuse a score that no trajectory can have."""
        require_share("correct.max_score", self.max_score)


@dataclass
class EvaluationConfig:
    """The panel on which every round is evaluated."""

    split: str = setting("valid_unseen", "Split that the panel is drawn from.")
    tasks: int | None = setting(None, "Tasks in the panel; null for the whole split.")
    panel_seed: int = setting(0, "Seed of the panel; the run's seed does not change it.")

    def __post_init__(self) -> None:
        """Refuse an empty panel."""
        if self.tasks is not None:
            require_at_least("evaluation.tasks", self.tasks, 1)


@dataclass
class RunConfig:
    """A run of LEAP."""

    env: EnvConfig = settings(EnvConfig, "The environment.")
    teacher: TeacherConfig = settings(TeacherConfig, "Who corrects.")
    student: StudentConfig = settings(StudentConfig, "Who acts and learns.")
    privilege: PrivilegeConfig = settings(PrivilegeConfig, "What the teacher may use and disclose.")
    trainer: TrainerConfig = settings(TrainerConfig, "How the student learns.")
    tracker: TrackerConfig = settings(TrackerConfig, "Where results go, beside the run folder.")
    seed: int = setting(0, "Seed of everything random in the run, but for the panel and the games.")
    rounds: int = setting(3, "Rounds after behaviour cloning; 0 evaluates the student as it is.")
    run_dir: str = setting("???", "Folder of the run, or of the runs of a sweep; give it again to go on.")
    demonstrations: DemonstrationsConfig = settings(DemonstrationsConfig, "What behaviour cloning starts from.")
    rollouts: RolloutsConfig = settings(RolloutsConfig, "Where the student acts to be corrected.")
    correct: CorrectConfig = settings(CorrectConfig, "Which trajectories are corrected.")
    aggregate: str = setting(
        "all", "Training set of a round: all, balanced (every round cut to the smallest) or latest."
    )
    start_from: str = setting("previous", "What a round's training starts from: the previous round's student, or base.")
    evaluation: EvaluationConfig = settings(EvaluationConfig, "The panel.")
    batch: int = setting(32, "Episodes that run at the same time.")
    probes: int = setting(16, "Trajectories of each sample on which realizability is measured.")
    pi_0: str | None = setting(
        None, "Folder of a shared round 0: made there by the first run (with seed 0), taken from there by others."
    )

    def __post_init__(self) -> None:
        """Refuse combinations that cannot be run."""
        require_at_least("rounds", self.rounds, 0)
        require_at_least("batch", self.batch, 1)
        require_at_least("probes", self.probes, 0)
        require_choice("aggregate", self.aggregate, [how.value for how in Aggregation])
        require_choice("start_from", self.start_from, ("previous", "base"))
        if self.rounds and not self.student.trainable:
            raise ConfigError(f"rounds={self.rounds} trains the student, but this one cannot be trained; set rounds=0.")
        if self.pi_0 is not None and not self.rounds:
            raise ConfigError("rounds=0 only evaluates, so there is no round 0 to share; leave out pi_0.")
