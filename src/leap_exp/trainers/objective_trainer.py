"""transformers' Trainer with objectives of the scores of batches in place of a model's own loss."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Required, cast

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from leap_exp.core.protocols import ProgressCallback
from leap_exp.tokens.scoring import Batch, batch_logits, collate, score_batch, split_by_span, target_logprobs
from leap_exp.tokens.spans import Row
from leap_exp.trainers.log import TrainLog
from leap_exp.trainers.objectives import BatchScores, Objective

if TYPE_CHECKING:
    from peft import PeftModel


class TrainingBatch(Batch, total=False):
    """A batch with what training needs besides scores."""

    tokens: Required[int]  # tokens that are read for it, the teacher's prompts included
    briefed: Batch  # the tokens that are compared with a teacher model, after prompts with the briefing
    ahead: torch.Tensor  # (O,), what each of the O objectives estimated over the whole accumulated batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Collator:
    """Makes batches of rows.

    Attributes:
        pad_id: Token id for padding.
        dtype: Type of the attention mask; None for batches with ``ends`` in its place.
        one_pass: Whether the model scores all branches of a row in one pass.
        passes: How often the rows of a batch are read in a step.
    """

    pad_id: int
    dtype: torch.dtype | None
    one_pass: bool
    passes: int = 1

    def __call__(self, rows: Sequence[Row]) -> TrainingBatch:
        """Return ``rows`` as a batch."""
        briefed = [part for row in rows for part in row.briefed]
        tokens = sum(self.passes * len(row.tree) for row in rows) + sum(len(row.tree) for row in briefed)
        batch = cast("TrainingBatch", {**self.scored(rows), "tokens": tokens})
        if briefed:
            batch["briefed"] = self.scored(briefed)
        return batch

    def scored(self, rows: Sequence[Row]) -> Batch:
        """Return ``rows`` as a batch to score."""
        return collate(rows, pad_id=self.pad_id, dtype=self.dtype, one_pass=self.one_pass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a training may use; None for no limit."""

    tokens: int | None = None
    seconds: float | None = None

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self.tokens is not None or self.seconds is not None

    def used(self, log: TrainLog) -> float:
        """Return the share of the budget that is used: 1 or more if it is used up, 0 if there is none."""
        shares = [log.tokens / self.tokens] if self.tokens else []
        shares += [log.seconds / self.seconds] if self.seconds else []
        return max(shares, default=0.0)


class ObjectiveTrainer(Trainer):  # type: ignore[misc]  # transformers carries no types
    """A Trainer that minimises a weighted sum of objectives.

    Each objective is a mean over its units (tokens, pairs, responses) in the whole accumulated batch, so that it makes
    no difference how an accumulated batch is cut into batches.

    Args:
        objectives: The objectives with their weights.
        teacher: The teacher model, for objectives that need one; None for the model that is trained.
        log: Collects the losses.
        budget: What the training may use.
        arguments: What transformers' Trainer takes.
    """

    # The loss is a mean over the units of the whole accumulated batch already.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        objectives: Sequence[tuple[Objective, float]],
        *,
        teacher: torch.nn.Module | None,
        log: TrainLog,
        budget: Budget,
        **arguments: Any,  # noqa: ANN401 - passed on
    ) -> None:
        super().__init__(**arguments)
        self.lr_scheduler: LRScheduler | None
        self._objectives = objectives
        self._teacher = teacher
        self._log = log
        self._budget = budget
        # Makes the Trainer count the units of an accumulated batch.
        self.model_accepts_loss_kwargs = True

    def get_batch_samples(
        self, epoch_iterator: Iterator[TrainingBatch], num_batches: int, device: torch.device
    ) -> tuple[list[TrainingBatch], torch.Tensor | None]:
        """Return the batches of an optimizer step, with what objectives estimate over all of them."""
        batches, units_O = super().get_batch_samples(epoch_iterator, num_batches, device)
        ahead_O = self._look_ahead(self.model, batches)
        if ahead_O is not None:
            for batch in batches:
                batch["ahead"] = ahead_O
        return batches, units_O

    def _get_num_items_in_batch(self, batch_samples: Sequence[Batch], device: torch.device) -> torch.Tensor | None:
        return self._units(batch_samples, device) if batch_samples else None

    def _units(self, batch_samples: Sequence[Batch], device: torch.device) -> torch.Tensor:
        """Return the number of units of each objective in the accumulated batch, at least 1."""
        units_O = torch.stack(
            [
                torch.stack([objective.units(batch).to(device) for batch in batch_samples]).sum()
                for objective, _ in self._objectives
            ]
        )
        if self.args.world_size > 1:
            units_O = self.accelerator.gather(units_O[None]).sum(0)
        return units_O.clamp(min=1).float()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: TrainingBatch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:  # noqa: ANN401 - the base class returns a loss, or a loss and outputs
        """Return the weighted sum of the objectives, each divided by its units in the whole accumulated batch."""
        units_O = num_items_in_batch
        if units_O is None:
            units_O = self._units([inputs], self.args.device)
        ahead_O = inputs["ahead"] if "ahead" in inputs else self._look_ahead(model, [inputs])
        teacher = self._teacher_scores(model, inputs["briefed"]) if "briefed" in inputs else None
        trained = _scores(model, inputs, logits=teacher is not None)
        losses: list[torch.Tensor] = []
        parts: dict[str, torch.Tensor] = {}
        for place, (objective, weight) in enumerate(self._objectives):
            other = teacher if objective.needs_teacher else _reference(inputs) if objective.needs_reference else None
            total, metrics = objective(trained, other, None if ahead_O is None else ahead_O[place])
            losses.append(weight * (total / units_O[place]))
            parts |= {name: value / units_O[place] for name, value in metrics.items()}
        loss = torch.stack(losses).sum() if len(losses) > 1 else losses[0]
        if len(losses) > 1:
            parts |= {f"loss_{place + 1}": part for place, part in enumerate(losses)}
        if model.training:
            self._log.add_batch({"loss": loss, **parts}, tokens=inputs["tokens"])
        return (loss, {}) if return_outputs else loss

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Return the learning rate's schedule: over the steps or, with a budget, over what is used of it."""
        if self.lr_scheduler is None and self._budget.is_limited:
            warmup, shape = self.args.warmup_steps, _SHAPES[self.args.lr_scheduler_type]

            def factor(step: int) -> float:
                used = max(self._budget.used(self._log), 0.0 if self._budget.tokens else step / num_training_steps)
                return min(1.0, step / warmup if warmup else 1.0) * shape(min(1.0, used))

            self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, factor)
            self._created_lr_scheduler = True
        scheduler: LRScheduler = super().create_scheduler(num_training_steps, optimizer)
        return scheduler

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: torch.Tensor | float | None = None) -> Any:  # noqa: ANN401
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        settings = {"learning_rate": float(self._get_learning_rate())}
        self._log.note({**settings, "grad_norm": float(norm)} if norm is not None else settings)
        return norm

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        # The base class writes the file that marks a checkpoint as complete last.
        folder = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)
        self._log.save(folder)
        super()._save_checkpoint(model, trial)

    def _look_ahead(self, model: torch.nn.Module, batches: Sequence[TrainingBatch]) -> torch.Tensor | None:
        """Return what each objective estimates over ``batches``, of shape (O,); None if none does."""
        if not any(objective.looks_ahead for objective, _ in self._objectives):
            return None
        with frozen(model):
            scores = [(_scores(model, batch), _reference(batch)) for batch in batches]
        return torch.stack(
            [
                objective.estimate(scores) if objective.looks_ahead else scores[0][0].logprobs_N.new_zeros(())
                for objective, _ in self._objectives
            ]
        )

    def _teacher_scores(self, model: torch.nn.Module, briefed: Batch) -> BatchScores:
        """Return the teacher's scores of rows with the briefing."""
        with frozen(self._teacher or model) as teacher:
            return _scores(teacher, briefed, logits=True)


class Bookkeeping(TrainerCallback):  # type: ignore[misc]  # transformers carries no types
    """Logs each optimizer step, reports progress, ends the training with its budget, and asks for checkpoints.

    Args:
        log: The log.
        on_progress: Called after each optimizer step.
        budget: What the training may use.
        checkpoint_steps: Optimizer steps between checkpoints; None for none.
        checkpoint_seconds: Seconds between checkpoints; None for none.
    """

    def __init__(
        self,
        log: TrainLog,
        on_progress: ProgressCallback,
        *,
        budget: Budget,
        checkpoint_steps: int | None,
        checkpoint_seconds: float | None,
    ) -> None:
        self._log = log
        self._on_progress = on_progress
        self._budget = budget
        self._checkpoint_steps = checkpoint_steps
        self._checkpoint_seconds = checkpoint_seconds
        self._last_checkpoint = log.seconds

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Do all this after an optimizer step."""
        step, epoch = state.global_step, state.epoch or 0.0
        self._log.end_step(step, epoch=epoch)
        used = self._budget.used(self._log)
        if used >= 1:
            control.should_training_stop = True
        # The rate so far tells how many steps a budget of tokens will allow.
        self._on_progress(step, max(step, round(step / used)) if self._budget.tokens else state.max_steps)
        # At the end of an epoch comes the validation, which a training that went on from here would leave out.
        if self._is_due(step) and not (control.should_training_stop or epoch == int(epoch)):
            control.should_save = True
            self._last_checkpoint = self._log.seconds

    def on_epoch_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **_: object,
    ) -> None:
        """Note the means of the epoch."""
        self._log.end_epoch()

    def _is_due(self, step: int) -> bool:
        by_step = self._checkpoint_steps is not None and step % self._checkpoint_steps == 0
        waited = self._log.seconds - self._last_checkpoint
        return by_step or (self._checkpoint_seconds is not None and waited >= self._checkpoint_seconds)


def with_reference(rows: Sequence[Row], model: "PeftModel", collator: Collator) -> list[Row]:
    """Return ``rows`` with the log-probabilities of their scored tokens under ``model``, as training computes them."""
    found = []
    mixed = torch.autocast(model.device.type, torch.bfloat16, enabled=model.dtype is torch.bfloat16)
    for row in rows:
        batch = {name: tensor.to(model.device) for name, tensor in collator.scored([row]).items()}  # type: ignore[attr-defined]
        with frozen(model), mixed:
            (score,) = split_by_span(score_batch(model, batch), [row])  # type: ignore[arg-type]
        spans = (replace(span, reference=values) for span, values in zip(row.spans, score.spans, strict=True))
        found.append(replace(row, spans=tuple(spans)))
    return found


@contextmanager
def frozen(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Compute with ``model`` without gradients and without dropout."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(was_training)


def _scores(model: torch.nn.Module, batch: Batch, *, logits: bool = False) -> BatchScores:
    if not logits:
        return BatchScores(batch, score_batch(model, batch))
    logits_NV = batch_logits(model, batch)
    return BatchScores(batch, target_logprobs(logits_NV, batch["labels"], batch["options"]), logits_NV)


def _reference(batch: Batch) -> BatchScores:
    return BatchScores(batch, batch["reference"])


_SHAPES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda used: 0.5 * (1 + math.cos(math.pi * used)),
    "linear": lambda used: 1 - used,
    "constant_with_warmup": lambda _: 1.0,
}
"""The learning rate's factor by the share of the budget that is used."""
