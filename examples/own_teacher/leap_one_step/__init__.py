"""A teacher that corrects only the first step at which the oracle disagrees, and keeps the student's other actions."""

from collections.abc import Sequence
from dataclasses import dataclass

from leap_exp.core.components import TeacherConfig
from leap_exp.core.environments import Environment
from leap_exp.core.protocols import Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import setting
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, Trajectory, views


@dataclass
class OneStepConfig(TeacherConfig):
    """The environment's oracle, for the first wrong step of each trajectory."""

    reason: str = setting("I keep to my plan.", "The reason given for steps that are not corrected.")

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """Return the teacher."""
        return OneStepTeacher(self, environment, seed=seed)


class OneStepTeacher(Teacher):
    """Corrects one step per trajectory."""

    id = "one_step"

    def __init__(self, config: OneStepConfig, environment: Environment, *, seed: int) -> None:
        self._config = config
        self._environment = environment
        self._seed = seed

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return one correction per trajectory, or a failure where the student's action is not admissible."""
        return [self._correct(*pair) for pair in zip(trajectories, briefings, strict=True)]

    def _correct(self, trajectory: Trajectory, briefing: Briefing) -> Correction | CorrectionFailure:
        oracle = self._environment.oracle(trajectory.task)
        seed = derive_seed(self._seed, trajectory.task.id, trajectory.seed)
        decisions: list[Decision] = []
        corrected = False
        for view, step in zip(views(trajectory), trajectory.steps, strict=True):
            decision = Decision(reason=self._config.reason, action=step.decision.action)
            if not corrected:
                decision = oracle.decide(view, briefing.disclosure, seed=seed, taken=step.action)
                corrected = decision.action != step.decision.action
            if not view.observation.admits(decision.action):
                error = f"{decision.action!r} is not admissible."
                return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=error)
            decisions.append(decision)
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing)
