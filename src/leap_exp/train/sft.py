"""Supervised fine-tuning on corrections, through TRL's SFTTrainer with a PEFT adapter."""

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Task, views
from leap_exp.prompts.codec import PromptCodec
from leap_exp.train.examples import IGNORED, Row, taught_steps, training_rows
from leap_exp.train.packing import collate, target_logprobs

log = logging.getLogger(__name__)

_SEED_RANGE = 2**31


@runtime_checkable
class FineTunable(Protocol):
    """A student whose weights can be trained here."""

    @property
    def codec(self) -> PromptCodec:
        """Its prompts, as token ids."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What turns text into ids."""

    @property
    def pad_id(self) -> int:
        """A token for padding."""

    def trainable_model(self, *, row_tokens: float) -> PeftModel:
        """Base weights with the adapter apart and ready to train on rows of about ``row_tokens`` tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftSettings:
    """How long and how fast to train; see the schema of the ``trainer`` group for each field."""

    epochs: float
    learning_rate: float
    batch_size: int
    gradient_accumulation: int
    validation_share: float
    warmup_steps: int
    max_grad_norm: float
    schedule: str
    weight_decay: float
    mistakes: int | None


class SftTrainer:
    """Fine-tunes on the teacher's responses; keeps the checkpoint with the lowest validation loss."""

    def __init__(self, settings: SftSettings) -> None:
        self.settings = settings

    def holds_out(self, task: Task) -> bool:
        """Whether ``task`` is kept for validation: a share of all tasks, by their ids."""
        return derive_seed(0, "validation", task.id) % 10_000 < self.settings.validation_share * 10_000

    def fit(
        self, student: Student, dataset: Sequence[Correction], *, out: Path, seed: int, on_progress: ProgressCallback
    ) -> Mapping[str, float]:
        """Train an adapter on ``dataset`` and write it to ``out``.

        Raises:
            ConfigError: If the student cannot be trained, or the validation share leaves nothing to train on.
        """
        if not isinstance(student, FineTunable):
            raise ConfigError(f"The student {student.id!r} has no weights to train; take one that has, or rounds=0.")
        train_rows, validation_rows = self._rows(dataset, student.codec)
        torch.manual_seed(derive_seed(seed, "adapter") % _SEED_RANGE)
        model = student.trainable_model(row_tokens=median(len(row.ids) for row in train_rows))
        checkpoints = out.with_name(f"{out.name}.checkpoints")
        trainer = _PackedSftTrainer(
            model=model,
            args=self._arguments(model, checkpoints, seed=seed, validate=bool(validation_rows)),
            train_dataset=_as_dataset(train_rows),
            eval_dataset=_as_dataset(validation_rows) if validation_rows else None,
            data_collator=_Collator(student.pad_id, model.dtype),
            processing_class=student.tokenizer,
            callbacks=[_ProgressReport(on_progress)],
        )
        # Progress is reported by our own callback; this one prints raw dictionaries between its lines.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.model.save_pretrained(str(out))
        shutil.rmtree(checkpoints, ignore_errors=True)
        shortened = sum(
            student.codec.first_kept(view) > 1 for correction in dataset for view in views(correction.trajectory)
        )
        return {**_metrics(trainer, train_rows), "train/shortened_prompts_count": float(shortened)}

    def _rows(self, dataset: Sequence[Correction], codec: PromptCodec) -> tuple[list[Row], list[Row]]:
        train: list[Row] = []
        validation: list[Row] = []
        for correction in dataset:
            side = validation if self.holds_out(correction.trajectory.task) else train
            taught = taught_steps(correction, self.settings.mistakes)
            rows = training_rows(correction, codec, taught=taught)
            side.extend(row for row in rows if any(target != IGNORED for target in row.targets))
        if not train:
            raise ConfigError(
                f"trainer.validation_share={self.settings.validation_share} of {len(dataset)} corrections leaves "
                "nothing to train on; lower it or collect more."
            )
        return train, validation

    def _arguments(self, model: PeftModel, checkpoints: Path, *, seed: int, validate: bool) -> SFTConfig:
        settings = self.settings
        on_cpu = model.device.type == "cpu"
        return SFTConfig(
            output_dir=str(checkpoints),
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.gradient_accumulation,
            warmup_steps=settings.warmup_steps,
            max_grad_norm=settings.max_grad_norm,
            lr_scheduler_type=settings.schedule,
            weight_decay=settings.weight_decay,
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
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
            dataloader_pin_memory=not on_cpu,
            report_to=[],
            disable_tqdm=True,
            max_length=None,
        )


class _PackedSftTrainer(SFTTrainer):  # type: ignore[misc]  # TRL carries no types
    """SFT on rows with branches: targets are given by position, and only those positions meet the head.

    TRL's own fused head scores every position on a processor without Triton, which here is five times the work.
    """

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401  the base class returns a loss, or a loss and outputs
        """Cross-entropy summed over the targets, over the number of targets in the whole (accumulated) batch."""
        targets_BT = inputs["shift_labels"]
        places_N = (targets_BT != IGNORED).any(dim=0).nonzero()[:, 0]
        outputs = model(
            input_ids=inputs["input_ids"],
            position_ids=inputs["position_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=places_N,
        )
        targets_BN = targets_BT[:, places_N]
        wanted_BN = targets_BN != IGNORED
        logprobs = target_logprobs(
            outputs.logits[wanted_BN], targets_BN[wanted_BN], inputs["options"][:, places_N][wanted_BN]
        )
        total = -logprobs.sum()
        count = num_items_in_batch if num_items_in_batch is not None else (targets_BT != IGNORED).sum()
        loss = total / count
        return (loss, outputs) if return_outputs else loss


class _Collator:
    """Rows to a padded batch."""

    def __init__(self, pad_id: int, dtype: torch.dtype) -> None:
        self._pad_id = pad_id
        self._dtype = dtype

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [Row(**{name: _unlisted(value) for name, value in example.items()}) for example in examples]
        batch = collate(rows, pad_id=self._pad_id, dtype=self._dtype)
        # The trainer counts the targets of an accumulated batch only if it finds this name.
        batch["labels"] = batch["shift_labels"]
        return batch


def _unlisted(value: object) -> Any:  # noqa: ANN401  a task id or a tuple of numbers
    return tuple(value) if isinstance(value, list) else value


class _ProgressReport(TrainerCallback):  # type: ignore[misc]  # transformers carries no types
    """Tells how many optimiser steps are done."""

    def __init__(self, on_progress: ProgressCallback) -> None:
        self._on_progress = on_progress

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **_: object,
    ) -> None:
        """Report after each optimiser step."""
        self._on_progress(state.global_step, state.max_steps)


def _as_dataset(rows: Sequence[Row]) -> Dataset:
    names = Row.__dataclass_fields__
    return Dataset.from_dict({name: [getattr(row, name) for row in rows] for name in names})


def _metrics(trainer: SFTTrainer, rows: Sequence[Row]) -> dict[str, float]:
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    seconds = next(entry["train_runtime"] for entry in reversed(history) if "train_runtime" in entry)
    tokens = sum(len(row.ids) for row in rows) * trainer.args.num_train_epochs
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
