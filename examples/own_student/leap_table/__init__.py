"""A student without a neural network: a table of what to do on each observation, and the trainer that fills it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

from leap_exp.core.components import StudentConfig, TrainerConfig
from leap_exp.core.environments import Environment
from leap_exp.core.protocols import Policy, ProgressCallback, Student, Trainer
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import setting
from leap_exp.core.types import Correction, Decision, View, views


@dataclass
class TableConfig(StudentConfig):
    """A table of how often each action was right on each observation."""

    trainable: ClassVar[bool] = True

    smoothing: float = setting(0.1, "Count that every action starts with.", above=0)

    def build(self, environment: Environment) -> Policy:
        """Return the student with an empty table."""
        return TableStudent(self, {})


@dataclass
class TableTrainerConfig(TrainerConfig):
    """Counts the teacher's actions, for the student table."""

    def build(self) -> Trainer:
        """Return the trainer."""
        return TableTrainer()


class TableStudent(Student):
    """Draws actions in proportion to their counts."""

    def __init__(
        self, config: TableConfig, table: Mapping[str, Mapping[str, int]], *, policy_id: str = "table"
    ) -> None:
        self._config = config
        self._table = table
        self.id = policy_id

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision]:
        """Return one decision per view."""
        decisions = []
        for view in views:
            probabilities = self._probabilities(view)
            rng = Random(derive_seed(seed, view.task.id, len(view.history)))
            (action,) = rng.choices(list(probabilities), list(probabilities.values()))
            decisions.append(Decision(reason="", action=action))
        return decisions

    def logprobs(self, corrections: Sequence[Correction]) -> Sequence[float]:
        """Return the log-probability (nats) of the teacher's action at each step."""
        return [
            math.log(self._probabilities(view)[decision.action])
            for correction in corrections
            for view, decision in zip(views(correction.trajectory), correction.decisions, strict=True)
        ]

    def load(self, folder: Path, *, policy_id: str) -> "TableStudent":
        """Return the student with the table that the trainer wrote to ``folder``."""
        return TableStudent(self._config, json.loads((folder / "table.json").read_text()), policy_id=policy_id)

    def _probabilities(self, view: View) -> dict[str, float]:
        counts = self._table.get(view.observation.text, {})
        actions = view.observation.admissible_actions or tuple(counts)
        weights = {action: counts.get(action, 0) + self._config.smoothing for action in actions}
        total = sum(weights.values())
        return {action: weight / total for action, weight in weights.items()}


class TableTrainer(Trainer):
    """Counts the teacher's actions on each observation."""

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
        """Write the table to ``out``."""
        table: dict[str, Counter[str]] = {}
        for correction in train:
            for step, decision in zip(correction.trajectory.steps, correction.decisions, strict=True):
                table.setdefault(step.observation.text, Counter())[decision.action] += 1
        (out / "table.json").write_text(json.dumps(table, sort_keys=True))
        on_progress(1, 1)
        return {"train/observations_count": float(len(table))}
