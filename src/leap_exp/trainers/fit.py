"""The fit loop: trains a student's LoRA adapter with objectives, on transformers' Trainer.

transformers' own Trainer brings accelerate, schedules, checkpoints and evaluation. TRL's trainers build on it too, but
hold one target per token, so a chosen and a rejected response could not share a prompt.
"""

import copy
import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PrinterCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from leap_exp.core import protocols
from leap_exp.core.errors import ConfigError
from leap_exp.core.launch import LaunchConfig
from leap_exp.core.protocols import ProgressCallback, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, views
from leap_exp.runs import TRAIN_LOG
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.engine import TrainableStudent, TrainableWeights
from leap_exp.tokens.spans import Row
from leap_exp.trainers.batches import Packing, find_packing, set_attention, trainer_class
from leap_exp.trainers.choices import Steps
from leap_exp.trainers.config import FitConfig
from leap_exp.trainers.launch import count_devices, processes_folder, train_in_processes
from leap_exp.trainers.log import TrainLog
from leap_exp.trainers.objective_trainer import Bookkeeping, Budget, Collator, ObjectiveTrainer, with_reference
from leap_exp.trainers.objectives import Objective
from leap_exp.trainers.processes import ALONE, Processes
from leap_exp.trainers.rows import learning_rows
from leap_exp.trainers.sharing import SharedTrainer, shard
from leap_exp.trainers.teaching import Teaching

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)

_SEED_RANGE = 2**31


class FineTuner(protocols.Trainer):
    """Fine-tunes an adapter and keeps the checkpoint with the lowest validation loss.

    Args:
        config: How long and how fast to train.
        objectives: What to minimise: the weighted sum of these.
        cloning: What trains π_0; None for this trainer itself.
        teaching: The teacher model, for objectives that need one.
        only_admissible: Leave out steps at which the student's own action was not admissible.
    """

    _launch = LaunchConfig()

    def __init__(
        self,
        config: FitConfig,
        objectives: Sequence[tuple[Objective, float]],
        *,
        cloning: protocols.Trainer | None = None,
        teaching: Teaching | None = None,
        only_admissible: bool = False,
    ) -> None:
        self._config = config
        self._objectives = objectives
        self._cloning = cloning
        self._teaching = teaching
        self._only_admissible = only_admissible

    @property
    def cloning(self) -> protocols.Trainer:
        """What trains π_0."""
        return self._cloning or self

    def for_student(self, student: Student, *, round_index: int) -> "FineTuner":
        """Return the trainer of the next round, whose teacher model may depend on the students so far."""
        if self._teaching is None:
            return self
        trainer = copy.copy(self)
        trainer._teaching = self._teaching.for_student(student, round_index=round_index)
        return trainer

    def launched(self, launch: LaunchConfig) -> "FineTuner":
        """Return the trainer with as many processes as ``launch`` says."""
        trainer = copy.copy(self)
        trainer._launch = launch
        trainer._cloning = self._cloning and self._cloning.launched(launch)
        return trainer

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
        """Train an adapter on ``train`` and write it to ``out``, with a log of the optimizer steps.

        Beside ``out`` there are checkpoints while the training goes on. If some are left by a training that was
        stopped, this one goes on from there.

        Raises:
            ConfigError: The student cannot be trained, or there is nothing to train on.
        """
        training = self.training(student, train, validation, seed=seed)
        assert isinstance(student, TrainableStudent)  # noqa: S101 - ``training`` checks it
        devices = count_devices(self._launch, training.weights.device) if training.train else 1
        if devices == 1:
            metrics = training.run(out, on_progress)
        else:
            metrics = train_in_processes(training, devices, self._launch, out=out, on_progress=on_progress)
        # Also what a training that was stopped has left.
        shutil.rmtree(processes_folder(out), ignore_errors=True)
        codec = student.codec
        # One correction at a time: they may be read from the run folder as they are used.
        shortened = [
            (codec.first_kept(view) > 1, codec.is_observation_shortened(view))
            for correction in chain(train, validation)
            for view in views(correction.trajectory)
        ]
        return {
            **metrics,
            "train/shortened_prompts_count": float(sum(prompt for prompt, _ in shortened)),
            "train/shortened_observations_count": float(sum(observation for _, observation in shortened)),
        }

    def training(
        self, student: Student, train: Sequence[Correction], validation: Sequence[Correction], *, seed: int
    ) -> "Training":
        """Return what ``fit`` does with ``student``, as something that can be sent to other processes.

        Raises:
            ConfigError: The student cannot be trained, or there is nothing to train on.
        """
        if not isinstance(student, TrainableStudent):
            raise ConfigError(f"The student {student.id!r} has no weights to train; choose one that has, or rounds=0.")
        if not train:
            raise ConfigError(
                f"trainer.validation_share={self._config.validation_share} of {len(validation)} corrections leaves "
                "nothing to train on; lower it or collect more."
            )
        train_rows = self._rows(train, student.codec, seed)
        validation_rows = self._rows(validation, student.codec, seed)
        return Training(
            config=self._config,
            objectives=self._objectives,
            weights=student.weights(),
            teacher=self._teaching.weights(student) if self._teaching and train_rows else None,
            train=train_rows,
            validation=validation_rows,
            seed=seed,
        )

    def _rows(self, corrections: Sequence[Correction], codec: PromptCodec, seed: int) -> list[Row]:
        return learning_rows(
            corrections,
            codec,
            frozenset().union(*(objective.roles for objective, _ in self._objectives)),
            steps=Steps(self._config.steps),
            max_changed_steps=self._config.max_changed_steps,
            only_admissible=self._only_admissible,
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of an adapter: all that a process needs for it, so that it can be pickled and sent to several.

    Attributes:
        config: How long and how fast to train.
        objectives: What to minimise: the weighted sum of these.
        weights: The student's.
        teacher: Those of the teacher model; None for the model that is trained, or if no objective needs one.
        train: The rows to train on.
        validation: The rows that choose the checkpoint; may be empty.
        seed: Seed of the new adapter, of the order of the rows and of dropout.
    """

    config: FitConfig
    objectives: Sequence[tuple[Objective, float]]
    weights: TrainableWeights
    teacher: TrainableWeights | None
    train: Sequence[Row]
    validation: Sequence[Row]
    seed: int

    @property
    def has_teacher(self) -> bool:
        """Whether an objective compares with a teacher model."""
        return any(objective.needs_teacher for objective, _ in self.objectives)

    def run(
        self,
        out: Path,
        on_progress: ProgressCallback,
        *,
        processes: Processes = ALONE,
        sharded: bool = False,
    ) -> dict[str, float]:
        """Train, write the adapter and the log to ``out``, and return metrics.

        Args:
            out: The folder.
            on_progress: Called after each optimizer step.
            processes: The processes that do this together, each by a call of this method.
            sharded: Whether the frozen weights are spread over them.
        """
        teacher = self.teacher.frozen_model() if self.teacher else None
        torch.manual_seed(derive_seed(self.seed, "adapter") % _SEED_RANGE)
        model = self.weights.trainable_model(device="cpu" if sharded else None)
        if not self.train:
            logger.warning("There is no step to learn from (trainer.steps), so the student stays as it was.")
            model.save_pretrained(str(out))
            return {"train/rows_count": 0.0, "train/tokens_count": 0.0, "train/steps_count": 0.0}
        if sharded:
            shard(model, processes)
        checkpoints = out.with_name(f"{out.name}.checkpoints")
        trainer, log = self._fit(model, teacher, checkpoints, processes, on_progress)
        if processes.is_first:
            trainer.model.save_pretrained(str(out))
            log.path.rename(out / TRAIN_LOG)
            shutil.rmtree(checkpoints, ignore_errors=True)
        return _metrics(trainer, log, self.train)

    def _fit(
        self,
        model: "PeftModel",
        teacher: torch.nn.Module | None,
        checkpoints: Path,
        processes: Processes,
        on_progress: ProgressCallback,
    ) -> tuple[ObjectiveTrainer, TrainLog]:
        config = self.config
        collator, packing = self._batches(model, processes)
        if processes.is_first:
            if latest_checkpoint(checkpoints) is None:
                shutil.rmtree(checkpoints, ignore_errors=True)
            checkpoints.mkdir(exist_ok=True)
        processes.wait()
        checkpoint = latest_checkpoint(checkpoints)
        log = TrainLog(checkpoints / TRAIN_LOG, processes)
        train, validation = self.train, self.validation
        if any(objective.needs_reference for objective, _ in self.objectives):
            scoring = collator if packing is None else packing.collator
            train = with_reference(train, model, scoring, processes)
            validation = with_reference(validation, model, scoring, processes)
        budget = Budget(tokens=config.max_tokens, seconds=config.max_seconds)
        bookkeeping = Bookkeeping(
            log,
            on_progress,
            budget=budget,
            checkpoint_steps=config.checkpoint_steps,
            checkpoint_seconds=None if config.checkpoint_minutes is None else 60 * config.checkpoint_minutes,
        )
        prepare = list if packing is None else packing.prepare
        trainer = self._kind(collator, packing, processes)(
            self.objectives,
            teacher=teacher,
            log=log,
            budget=budget,
            model=model,
            args=self._arguments(model, checkpoints, packed=packing is not None, shared=processes.count > 1),
            train_dataset=prepare(train),
            eval_dataset=prepare(validation) or None,
            data_collator=packing or collator,
            callbacks=[bookkeeping],
        )
        # It prints raw dictionaries between the lines of our own progress.
        trainer.remove_callback(PrinterCallback)
        if checkpoint is not None:
            log.load(checkpoint)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return trainer, log

    def _batches(self, model: "PeftModel", processes: Processes) -> tuple[Collator, Packing | None]:
        """Return what makes batches of rows, and the packing of rows if there is one."""
        ahead = any(objective.looks_ahead for objective, _ in self.objectives)
        collator = Collator(
            pad_id=self.weights.pad_id, dtype=model.dtype, one_pass=self.weights.one_pass, passes=2 if ahead else 1
        )
        packing = processes.first(
            find_packing(
                model, self.train, collator, tokens=self.config.tokens_per_batch, distributions=self.has_teacher
            )
        )
        if self.weights.one_pass:
            set_attention(model, self.train, packing)
        return collator, packing

    def _kind(
        self, collator: Collator, packing: Packing | None, processes: Processes
    ) -> Callable[..., ObjectiveTrainer]:
        """Return the trainer's class, with what it needs besides if several processes train."""
        if processes.count == 1:
            return trainer_class(packing)
        return partial(
            SharedTrainer,
            processes=processes,
            collator=collator,
            packing=packing,
            rows_per_step=self.config.batch_size * self.config.gradient_accumulation,
            rows_per_batch=self.config.batch_size,
        )

    def _arguments(self, model: "PeftModel", checkpoints: Path, *, packed: bool, shared: bool) -> TrainingArguments:
        """Return the arguments of transformers' Trainer, for which a step that is packed or shared is one batch."""
        config = self.config
        validate = bool(self.validation)
        on_cpu = model.device.type == "cpu"
        checkpointing = not (on_cpu or packed)
        if checkpointing:
            # Checkpointing needs gradients at the input, which a frozen embedding does not have.
            model.enable_input_require_grads()
        epochs = config.epochs
        if config.max_tokens is not None:
            # One more than needed if every token is read once, so that it is the budget that ends the training.
            epochs = 1 + math.ceil(config.max_tokens / sum(len(row.tree) for row in self.train))
        return TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=epochs,
            learning_rate=config.learning_rate,
            per_device_train_batch_size=config.batch_size * (config.gradient_accumulation if packed else 1),
            per_device_eval_batch_size=config.batch_size,
            gradient_accumulation_steps=1 if packed or shared else config.gradient_accumulation,
            warmup_steps=config.warmup_steps,
            max_grad_norm=config.max_grad_norm,
            lr_scheduler_type=config.schedule,
            weight_decay=config.weight_decay,
            bf16=model.dtype is torch.bfloat16,
            use_cpu=on_cpu,
            gradient_checkpointing=checkpointing,
            seed=derive_seed(self.seed, "order") % _SEED_RANGE,
            eval_strategy="epoch" if validate else "no",
            save_strategy="epoch" if validate else "no",
            load_best_model_at_end=validate,
            metric_for_best_model="eval_loss",
            save_total_limit=1,
            save_only_model=config.checkpoint_steps is None and config.checkpoint_minutes is None,
            logging_strategy="no",
            label_names=["labels"],
            remove_unused_columns=False,
            dataloader_pin_memory=not on_cpu,
            accelerator_config=None if on_cpu else {"non_blocking": True},
            # It waits for the device after every batch.
            logging_nan_inf_filter=on_cpu,
            report_to=[],
            disable_tqdm=True,
        )


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint in ``folder`` from which a training can go on, or None.

    The file with the trainer's state is written last, so a checkpoint with a readable one is complete.
    """
    found = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(found):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        if (path / "optimizer.pt").is_file() and TrainLog.is_saved_in(path):
            return path
    return None


def _metrics(trainer: ObjectiveTrainer, log: TrainLog, rows: Sequence[Row]) -> dict[str, float]:
    last = log.epochs[-1]
    metrics = {
        "train/loss_first_epoch_nats": log.epochs[0]["loss"],
        "train/loss_last_epoch_nats": last["loss"],
        "train/rows_count": float(len(rows)),
        "train/tokens_count": float(log.tokens),
        "train/steps_count": float(trainer.state.global_step),
        "train/duration_seconds": log.seconds,
        "train/tokens_per_second": log.tokens / log.seconds,
    }
    metrics |= {f"train/{name}": value for name, value in last.items() if name != "loss"}
    best = trainer.state.best_metric
    if best is not None and math.isfinite(best):
        metrics["train/validation_loss_nats"] = float(best)
    return metrics
