"""Several trainers one after the other, in every round."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from leap_exp.core import protocols
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction
from leap_exp.runs import TRAIN_LOG, LineLog, decode_metrics, encode_metrics, read_document, read_lines, write_document

_TOTALS = ("train/tokens_count", "train/steps_count", "train/duration_seconds")


class StagedTrainer(protocols.Trainer):
    """Trains with each trainer in turn, each from the student of the one before.

    Args:
        trainers: The trainers by their names.
        cloning: What trains π_0.
    """

    def __init__(self, trainers: Mapping[str, protocols.Trainer], *, cloning: protocols.Trainer) -> None:
        self._trainers = trainers
        self._cloning = cloning

    @property
    def cloning(self) -> protocols.Trainer:
        """What trains π_0."""
        return self._cloning

    def for_student(self, student: Student, *, round_index: int) -> "StagedTrainer":
        """Return the trainer of the next round."""
        trainers = {
            name: trainer.for_student(student, round_index=round_index) for name, trainer in self._trainers.items()
        }
        return StagedTrainer(trainers, cloning=self._cloning)

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
        """Train in stages and write the last student to ``out``, with the log of all stages.

        The metrics are those of the last stage, those of each stage under its name, and totals.
        """
        # Beside ``out``, which is emptied when a training that was stopped begins again.
        finished = out.with_name(f"{out.name}.stages")
        metrics: dict[str, float] = {}
        totals = dict.fromkeys(_TOTALS, 0.0)
        log = LineLog(out / TRAIN_LOG)
        folder = out
        for name, trainer in self._trainers.items():
            folder = finished / name
            if not folder.exists():
                self._fit_stage(
                    trainer,
                    student,
                    train,
                    validation,
                    folder=folder,
                    seed=derive_seed(seed, name),
                    on_progress=on_progress,
                )
            student = student.load(folder, policy_id=f"{student.id}/{name}")
            own = decode_metrics(read_document(folder / "metrics.json"))
            metrics |= {**own, **{key.replace("train/", f"train/{name}/", 1): value for key, value in own.items()}}
            totals = {key: total + own.get(key, 0.0) for key, total in totals.items()}
            for line in read_lines(folder / TRAIN_LOG):
                log.append({"stage": name, **line})
        for path in folder.iterdir():
            if path.name not in (TRAIN_LOG, "metrics.json"):
                path.rename(out / path.name)
        shutil.rmtree(finished)
        return {**metrics, **totals}

    def _fit_stage(
        self,
        trainer: protocols.Trainer,
        student: Student,
        train: Sequence[Correction],
        validation: Sequence[Correction],
        *,
        folder: Path,
        seed: int,
        on_progress: ProgressCallback,
    ) -> None:
        """Fit one stage; its folder appears when it is complete."""
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        metrics = trainer.fit(student, train, validation, out=part, seed=seed, on_progress=on_progress)
        write_document(part / "metrics.json", encode_metrics(metrics))
        part.rename(folder)
