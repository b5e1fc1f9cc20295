"""The fit loop: trains a student's LoRA adapter with an objective, on transformers' Trainer.

transformers' own Trainer brings accelerate, schedules, checkpoints and evaluation. TRL's trainers build on it too, but
hold one target per token, so a chosen and a rejected response could not share a prompt.
"""

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from leap_exp.core import protocols
from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, views
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.engine import TrainableStudent
from leap_exp.tokens.scoring import Batch, collate, score_batch
from leap_exp.tokens.spans import Row, training_rows
from leap_exp.trainers.config import SftConfig
from leap_exp.trainers.objectives import BatchScores, Objective, SupervisedObjective

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)

_SEED_RANGE = 2**31
_LONGEST_EAGER_ROW = 600
"""Median row length up to which plain attention trains faster on a CPU than the fused kernel, whose backward pass is
slow there: by up to 14 % on rows of 200 to 500 tokens. At 900 tokens the fused one is faster by 15 %, at
1,300 by 89 %."""


def supervised_fine_tuning(config: SftConfig) -> "FineTuner":
    """Return the trainer with the settings ``trainer=sft``."""
    return FineTuner(config, SupervisedObjective())


class FineTuner(protocols.Trainer):
    """Fine-tunes an adapter and keeps the checkpoint with the lowest validation loss.

    Args:
        config: How long and how fast to train.
        objective: What to minimise.
    """

    def __init__(self, config: SftConfig, objective: Objective) -> None:
        self._config = config
        self._objective = objective

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
        """Train an adapter on ``train`` and write it to ``out``.

        Raises:
            ConfigError: The student cannot be trained, or there is nothing to train on.
        """
        if not isinstance(student, TrainableStudent):
            raise ConfigError(f"The student {student.id!r} has no weights to train; choose one that has, or rounds=0.")
        train_rows = self._rows(train, student.codec)
        validation_rows = self._rows(validation, student.codec)
        if not train_rows:
            raise ConfigError(
                f"trainer.validation_share={self._config.validation_share} of {len(train) + len(validation)} "
                "corrections leaves nothing to train on; lower it or collect more."
            )
        torch.manual_seed(derive_seed(seed, "adapter") % _SEED_RANGE)
        model = student.trainable_model()
        short = median(len(row.tree) for row in train_rows) <= _LONGEST_EAGER_ROW
        if student.one_pass and short and model.device.type == "cpu":
            model.get_base_model().set_attn_implementation("eager")
        checkpoints = out.with_name(f"{out.name}.checkpoints")
        trainer = _ObjectiveTrainer(
            self._objective,
            model=model,
            args=self._arguments(model, checkpoints, seed=seed, validate=bool(validation_rows)),
            train_dataset=train_rows,
            eval_dataset=validation_rows or None,
            data_collator=lambda rows: collate(
                rows, pad_id=student.pad_id, dtype=model.dtype, one_pass=student.one_pass
            ),
            callbacks=[_ReportProgress(on_progress)],
        )
        # It prints raw dictionaries between the lines of our own progress.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.model.save_pretrained(str(out))
        shutil.rmtree(checkpoints, ignore_errors=True)
        seen = [view for correction in (*train, *validation) for view in views(correction.trajectory)]
        return {
            **_metrics(trainer, train_rows),
            "train/shortened_prompts_count": float(sum(student.codec.first_kept(view) > 1 for view in seen)),
            "train/shortened_observations_count": float(sum(map(student.codec.is_observation_shortened, seen))),
        }

    def _rows(self, corrections: Sequence[Correction], codec: PromptCodec) -> list[Row]:
        return [
            row
            for correction in corrections
            for row in training_rows(
                correction,
                codec,
                steps=trained_steps(correction, self._config.max_changed_steps),
                roles=self._objective.roles,
            )
        ]

    def _arguments(self, model: "PeftModel", checkpoints: Path, *, seed: int, validate: bool) -> TrainingArguments:
        config = self._config
        on_cpu = model.device.type == "cpu"
        if not on_cpu:
            # Checkpointing needs gradients at the input, which a frozen embedding does not have.
            model.enable_input_require_grads()
        return TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=config.batch_size,
            gradient_accumulation_steps=config.gradient_accumulation,
            warmup_steps=config.warmup_steps,
            max_grad_norm=config.max_grad_norm,
            lr_scheduler_type=config.schedule,
            weight_decay=config.weight_decay,
            bf16=model.dtype is torch.bfloat16,
            use_cpu=on_cpu,
            gradient_checkpointing=not on_cpu,
            seed=derive_seed(seed, "order") % _SEED_RANGE,
            eval_strategy="epoch" if validate else "no",
            save_strategy="epoch" if validate else "no",
            load_best_model_at_end=validate,
            metric_for_best_model="eval_loss",
            save_total_limit=1,
            save_only_model=True,
            logging_strategy="epoch",
            label_names=["labels"],
            remove_unused_columns=False,
            dataloader_pin_memory=not on_cpu,
            report_to=[],
            disable_tqdm=True,
        )


class _ObjectiveTrainer(Trainer):  # type: ignore[misc]  # transformers carries no types
    """A Trainer whose loss is an objective of the scores of a batch."""

    # The loss is a mean over the scored tokens of the whole accumulated batch already.
    loss_is_scaled_for_ga = True

    def __init__(self, objective: Objective, **arguments: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(**arguments)
        self._objective = objective
        # Makes the Trainer count the targets of an accumulated batch.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - the base class returns a loss, or a loss and outputs
        """Return the objective's loss, divided by the number of scored tokens in the whole accumulated batch."""
        scores = BatchScores(score_batch(model, inputs), inputs["weights"])
        total, _ = self._objective(scores, None)
        loss = total / (num_items_in_batch if num_items_in_batch is not None else len(inputs["labels"]))
        return (loss, {}) if return_outputs else loss


class _ReportProgress(TrainerCallback):  # type: ignore[misc]  # transformers carries no types
    """Reports the number of finished optimizer steps."""

    def __init__(self, on_progress: ProgressCallback) -> None:
        self._on_progress = on_progress

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **_: object,
    ) -> None:
        """Report after each optimizer step."""
        self._on_progress(state.global_step, state.max_steps)


def trained_steps(correction: Correction, max_changed_steps: int | None) -> frozenset[int]:
    """Return the steps up to the ``max_changed_steps``-th that the teacher changed, or all steps for None.

    A student that has gone wrong keeps going wrong. Late steps lie in states that a better student never sees, and
    their corrections repeat the same advice to go back. A better student must avoid the first changed steps.
    """
    changed = [index for index, is_changed in enumerate(correction.changed) if is_changed]
    if max_changed_steps is None or len(changed) < max_changed_steps:
        return frozenset(range(len(correction.changed)))
    return frozenset(range(changed[max_changed_steps - 1] + 1))


def _metrics(trainer: Trainer, rows: Sequence[Row]) -> dict[str, float]:
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    seconds = next(entry["train_runtime"] for entry in reversed(history) if "train_runtime" in entry)
    tokens = sum(len(row.tree) for row in rows) * trainer.args.num_train_epochs
    metrics = {
        "train/loss_first_epoch_nats": losses[0],
        "train/loss_last_epoch_nats": losses[-1],
        "train/rows_count": float(len(rows)),
        "train/tokens_count": float(tokens),
        "train/steps_count": float(trainer.state.global_step),
        "train/duration_seconds": float(seconds),
        "train/tokens_per_second": tokens / seconds,
    }
    best = trainer.state.best_metric
    if best is not None and math.isfinite(best):
        metrics["train/validation_loss_nats"] = float(best)
    return metrics
