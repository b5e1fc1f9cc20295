"""The oracle teacher: the environment's scripted expert corrects every step."""

import logging
from collections.abc import Collection, Mapping, Sequence

from leap_exp.core.environments import Environment
from leap_exp.core.protocols import Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Trajectory, views

logger = logging.getLogger(__name__)


class OracleTeacher(Teacher):
    """Corrects with the environment's oracle; ``seed`` varies the wording of its reasons."""

    id = "oracle"

    def __init__(self, environment: Environment, *, seed: int) -> None:
        self._environment = environment
        self._seed = seed

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return one correction per trajectory, or a failure where the oracle raises an error."""
        return self.correct_steps(trajectories, briefings, [range(len(each.steps)) for each in trajectories])

    def correct_steps(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing], steps: Sequence[Collection[int]]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return the same for the given ``steps`` of each trajectory."""
        results: list[Correction | CorrectionFailure] = []
        for trajectory, briefing, asked in zip(trajectories, briefings, steps, strict=True):
            try:
                results.append(self._correct(trajectory, briefing, asked))
            except Exception as error:  # noqa: BLE001 - one broken trajectory must not cost the round its corrections
                logger.warning("No correction of %s: %s", trajectory.task.id, error)
                message = f"{type(error).__name__}: {error}"
                results.append(CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=message))
        return results

    def action_values(
        self,
        corrections: Sequence[Correction],
        candidates: Sequence[Sequence[Sequence[str]]],  # noqa: ARG002 - an oracle values all admissible actions
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return the oracle's action values: minus the number of steps left after each action."""
        return [self._values(correction) for correction in corrections]

    def _values(self, correction: Correction) -> Sequence[Mapping[str, float]]:
        oracle = self._environment.oracle(correction.trajectory.task)
        return [oracle.action_values(view, correction.briefing.disclosure) for view in views(correction.trajectory)]

    def _correct(self, trajectory: Trajectory, briefing: Briefing, asked: Collection[int]) -> Correction:
        oracle = self._environment.oracle(trajectory.task)
        seed = derive_seed(self._seed, "oracle", trajectory.policy_id, trajectory.seed)
        decisions = [
            oracle.decide(view, briefing.disclosure, seed=seed, taken=step.action) if index in asked else step.decision
            for index, (view, step) in enumerate(zip(views(trajectory), trajectory.steps, strict=True))
        ]
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing, asked=asked)
