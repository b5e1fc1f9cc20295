"""The oracle teacher: an environment's scripted expert relabels every step."""

import logging
from collections.abc import Mapping, Sequence

from leap_exp.core.protocols import Environment, ValuingOracle
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Trajectory, views

logger = logging.getLogger(__name__)


class OracleTeacher:
    """Corrects with the environment's oracle; the wording of its reasons varies with ``seed``."""

    id = "oracle"

    def __init__(self, environment: Environment, *, seed: int) -> None:
        self._environment = environment
        self._seed = seed

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction a trajectory, under its briefing's disclosure; a failure where the oracle breaks."""
        results: list[Correction | CorrectionFailure] = []
        for trajectory, briefing in zip(trajectories, briefings, strict=True):
            try:
                results.append(self._correct(trajectory, briefing))
            except Exception as error:  # noqa: BLE001 - one broken trajectory must not cost the round its corrections
                logger.warning("No correction of %s: %s", trajectory.task.id, error)
                message = f"{type(error).__name__}: {error}"
                results.append(CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=message))
        return results

    def values(
        self,
        corrections: Sequence[Correction],
        candidates: Sequence[Sequence[Sequence[str]]],  # noqa: ARG002 - an oracle weighs whatever is admissible
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """The steps that each action leaves to go, negated, as far as the environment's oracle can say."""
        return [self._values(correction) for correction in corrections]

    def _values(self, correction: Correction) -> Sequence[Mapping[str, float]]:
        trajectory = correction.trajectory
        oracle = self._environment.oracle(trajectory.task)
        if not isinstance(oracle, ValuingOracle):
            return [{}] * len(trajectory.steps)
        return [oracle.values(view, correction.briefing.disclosure) for view in views(trajectory)]

    def _correct(self, trajectory: Trajectory, briefing: Briefing) -> Correction:
        oracle = self._environment.oracle(trajectory.task)
        seed = derive_seed(self._seed, "oracle", trajectory.policy_id, trajectory.seed)
        decisions = tuple(
            oracle.decide(view, briefing.disclosure, seed=seed, taken=step.decision.action)
            for view, step in zip(views(trajectory), trajectory.steps, strict=True)
        )
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing)
