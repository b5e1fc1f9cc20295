"""A trainer that fine-tunes with several learning rates and keeps the student with the lowest loss."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from leap_exp.core.protocols import ProgressCallback, Student, Trainer
from leap_exp.core.settings import settings
from leap_exp.core.types import Correction
from leap_exp.trainers.config import SftConfig


@dataclass
class LearningRateSearchConfig(SftConfig):
    """Supervised fine-tuning with the best of several learning rates."""

    learning_rates: list[float] = settings(
        lambda: [3e-4, 1e-3], "The learning rates to try; learning_rate is not used."
    )

    def build(self) -> Trainer:
        """Return the trainer."""
        own = {name: value for name, value in asdict(self).items() if name != "learning_rates"}
        trainers = {rate: SftConfig(**{**own, "learning_rate": rate}).build() for rate in self.learning_rates}
        return LearningRateSearch(trainers)


class LearningRateSearch(Trainer):
    """Trains once per learning rate."""

    def __init__(self, trainers: Mapping[float, Trainer]) -> None:
        self._trainers = trainers

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
        """Write the best student to ``out`` and return its metrics, with its learning rate."""
        found: list[tuple[float, float, Mapping[str, float]]] = []
        for rate, trainer in self._trainers.items():
            folder = out / str(rate)
            folder.mkdir()
            metrics = trainer.fit(student, train, validation, out=folder, seed=seed, on_progress=on_progress)
            loss = metrics.get("train/validation_loss_nats", metrics["train/loss_last_epoch_nats"])
            found.append((loss, rate, metrics))
        _, best, metrics = min(found, key=lambda each: each[:2])
        for path in (out / str(best)).iterdir():
            path.rename(out / path.name)
        for rate in self._trainers:
            shutil.rmtree(out / str(rate))
        return {**metrics, "train/best_learning_rate": best}
