"""Optimizer steps that several processes share, with the same result as in one process.

Only the adapter has gradients, so they are summed over the processes once per step. DistributedDataParallel does the
same while the backward pass goes on, but it does not know models that are read several times in a step (branches as
sequences of their own, estimates over the accumulated batch). FSDP2 shards the frozen weights of a model that does not
fit on a device; the adapter, its gradients and the optimizer are whole in every process, so that checkpoints are the
same for any number of processes.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from accelerate.data_loader import prepare_data_loader
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, RandomSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from leap_exp.core.errors import ConfigError
from leap_exp.core.seeding import derive_seed
from leap_exp.tokens.spans import Row
from leap_exp.trainers.objective_trainer import Collator, ObjectiveTrainer, TrainingBatch, frozen, mean
from leap_exp.trainers.processes import Processes

if TYPE_CHECKING:
    from peft import PeftModel


class Share(TypedDict):
    """What one process computes for an optimizer step."""

    batches: list[TrainingBatch]
    idle: list[TrainingBatch]  # computed without effect, so that all processes compute equally many


class SharedTrainer(ObjectiveTrainer):
    """An ``ObjectiveTrainer`` in each of several processes, which share the work of every optimizer step.

    A step sees the same rows in the same order as in one process. Its batches are dealt to the processes. Losses are
    divided by the units of the whole step, and gradients and figures are summed. For transformers' Trainer, a step is a
    single batch.

    Args:
        processes: The processes.
        rows_per_step: Rows of an optimizer step.
        rows_per_batch: Maximum rows of a batch.
        arguments: What ``ObjectiveTrainer`` takes.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - passed on
        processes: Processes,
        rows_per_step: int,
        rows_per_batch: int,
        **more: Any,  # noqa: ANN401 - passed on
    ) -> None:
        super().__init__(*arguments, **more)
        self._processes = processes
        self._rows_per_step = rows_per_step
        self._rows_per_batch = rows_per_batch
        self.control: TrainerControl
        self._collator: Collator = self.data_collator
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        # Without a wrapper that would sum the gradients itself.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        self.add_callback(_OwnDropout(derive_seed(self.args.seed, "dropout", processes.rank)))
        for parameter in self._trained:
            torch.distributed.broadcast(parameter.data, src=0)

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Return the rows of each step, in the order in which accelerate draws them for one process."""
        rows = self.train_dataset
        loader: DataLoader[Row] = DataLoader(
            rows, batch_size=self._rows_per_step, sampler=RandomSampler(rows), collate_fn=list
        )
        return prepare_data_loader(  # type: ignore[no-any-return]  # accelerate carries no types
            loader, num_processes=1, process_index=0, use_seedable_sampler=True
        )

    def get_batch_samples(  # type: ignore[override]  # for the base class, a share is a batch
        self,
        epoch_iterator: Iterator[Sequence[Row]],
        num_batches: int,  # noqa: ARG002 - always 1
        device: torch.device,
    ) -> tuple[list[Share], torch.Tensor]:
        """Return this process's share of the next step, and the units of the whole step."""
        rows = next(epoch_iterator)
        parts = cut(rows, self._rows_per_batch, self._processes.count)
        batches = [self._prepare_inputs(self._collator(part)) for part in self._processes.share(parts)]
        idle = [self._idle_batch(rows)] if len(batches) * self._processes.count < len(parts) else []
        units_O = self._processes.sum(self._count_units(batches, device)).clamp(min=1).float()
        sums_O2 = self._look_ahead(self.model, [*batches, *idle], counted=len(batches))
        if sums_O2 is not None:
            ahead_O = mean(self._processes.sum(sums_O2))
            for batch in (*batches, *idle):
                batch["ahead"] = ahead_O
        return [{"batches": batches, "idle": idle}], units_O

    def training_step(
        self, model: torch.nn.Module, inputs: Share, num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Add up the gradients of this process's share, then those of all processes; return the loss of the share."""
        assert num_items_in_batch is not None  # noqa: S101 - get_batch_samples returns it
        step = super().training_step
        losses = [step(model, batch, num_items_in_batch) for batch in inputs["batches"]]
        # Divided by infinitely many units, they count nothing.
        losses += [step(model, batch, torch.full_like(num_items_in_batch, torch.inf)) for batch in inputs["idle"]]
        self._processes.sum_gradients(self._trained)
        self._log.sum_step()
        return torch.stack(losses).sum()

    def evaluate(
        self,
        eval_dataset: object = None,  # noqa: ARG002
        ignore_keys: object = None,  # noqa: ARG002
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return the mean loss of the validation batches, each counted by its rows, as transformers' Trainer does."""
        rows, size = self.eval_dataset, self._rows_per_batch
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with frozen(self.model), self.compute_loss_context_manager():
            losses = self._processes.map(
                lambda part: float(self.compute_loss(self.model, self._prepare_inputs(self._collator(part)))), parts
            )
        total = sum(loss * len(part) for loss, part in zip(losses, parts, strict=True))
        metrics = {f"{metric_key_prefix}_loss": total / len(rows)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: object) -> int:  # noqa: ARG002
        """Return 0: they are not counted."""
        return 0

    def _move_model_to_device(self, model: torch.nn.Module, device: torch.device) -> None:
        """Do nothing, because the model is there, and a sharded one cannot be moved."""

    def _idle_batch(self, rows: Sequence[Row]) -> TrainingBatch:
        batch: TrainingBatch = self._prepare_inputs(self._collator([min(rows, key=lambda row: len(row.tree))]))
        batch["tokens"] = 0
        return batch


class _OwnDropout(TrainerCallback):  # type: ignore[misc]  # transformers carries no types
    """Seeds a process, so that no two drop out the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **_: object,
    ) -> None:
        """Seed it after the order of the rows was drawn."""
        torch.manual_seed(self._seed % 2**63)


def cut(rows: Sequence[Row], size: int, count: int) -> list[Sequence[Row]]:
    """Return the rows of a step in batches of up to ``size``, smaller if ``count`` processes would not all get one."""
    size = min(size, -(-len(rows) // count))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def shard(model: "PeftModel", processes: Processes) -> None:
    """Spread the frozen weights of ``model`` over ``processes``, layer by layer, and move the rest to their devices.

    Raises:
        ConfigError: transformers does not name the model's layers.
    """
    base = model.get_base_model()
    names = set(getattr(base, "_no_split_modules", None) or ())
    layers = [module for module in base.modules() if type(module).__name__ in names]
    if not layers:
        raise ConfigError(
            f"A model of the family {base.config.model_type} cannot be spread over devices, because its layers are not "
            "known; set launch.sharding=none, or choose another student.model."
        )
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    for parameter in trained:
        parameter.data = parameter.data.to(processes.device)
    mesh = init_device_mesh(torch.device(processes.device).type, (processes.count,))
    for module in (*layers, base):
        # After every pass, because only the first process saves checkpoints, for which weights must be spread again.
        fully_shard(module, mesh=mesh, ignored_params=trained, reshard_after_forward=True)
