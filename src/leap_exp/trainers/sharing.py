"""Optimizer steps that several processes share, with the same result as in one process.

Only the adapter has gradients, so they are summed over the processes once per step. DistributedDataParallel does the
same while the backward pass goes on, but it does not know models that are read several times in a step (branches as
sequences of their own, estimates over the accumulated batch). FSDP2 shards the frozen weights of a model that does not
fit on a device; the adapter, its gradients and the optimizer are whole in every process, so that checkpoints are the
same for any number of processes.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch
from accelerate.data_loader import prepare_data_loader
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, RandomSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from leap_exp.core.errors import ConfigError
from leap_exp.core.seeding import derive_seed
from leap_exp.tokens.spans import Row
from leap_exp.trainers.batches import PackedTrainer, Packing
from leap_exp.trainers.memory import TokenBudget
from leap_exp.trainers.objective_trainer import Collator, TrainingBatch, frozen, mean
from leap_exp.trainers.processes import Processes

if TYPE_CHECKING:
    from peft import PeftModel


Item = Row | TrainingBatch
"""A row or, where rows are packed, the batch that was prepared of it."""


class Share(TypedDict):
    """What one process computes for an optimizer step."""

    parts: list[TrainingBatch]
    idle: list[TrainingBatch]  # computed without effect, so that all processes compute equally many


class SharedTrainer(PackedTrainer):
    """A trainer in each of several processes, which share the work of every optimizer step.

    A step sees the same rows in the same order as in one process. Its batches are dealt to the processes. Losses are
    divided by the units of the whole step, and gradients and figures are summed. For transformers' Trainer, a step is a
    single batch.

    Args:
        processes: The processes.
        collator: Makes batches of rows that are not packed.
        packing: How rows are packed; None if they are not.
        rows_per_step: Rows of an optimizer step.
        rows_per_batch: Maximum rows of a batch that is not packed.
        arguments: What ``ObjectiveTrainer`` takes.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - passed on
        processes: Processes,
        collator: Collator,
        packing: Packing | None,
        rows_per_step: int,
        rows_per_batch: int,
        **named: Any,  # noqa: ANN401 - passed on
    ) -> None:
        checkpointed = TokenBudget(1, 0 if named["args"].gradient_checkpointing else float("inf"))
        super().__init__(*arguments, packed=packing.budget if packing else checkpointed, **named)
        self.control: TrainerControl
        self._processes = processes
        self._collator = collator
        self._packing = packing
        self._rows_per_step = rows_per_step
        self._rows_per_batch = rows_per_batch
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        # Without a wrapper that would sum the gradients itself.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        self.add_callback(_OwnDropout(derive_seed(self.args.seed, "dropout", processes.rank)))
        for parameter in self._trained:
            torch.distributed.broadcast(parameter.data, src=0)

    def get_train_dataloader(self) -> DataLoader[Item]:
        """Return the rows of each step, in the order in which accelerate draws them for one process."""
        rows = self.train_dataset
        loader: DataLoader[Item] = DataLoader(
            rows, batch_size=self._rows_per_step, sampler=RandomSampler(rows), collate_fn=list
        )
        return prepare_data_loader(  # type: ignore[no-any-return]  # accelerate carries no types
            loader, num_processes=1, process_index=0, use_seedable_sampler=True
        )

    def get_batch_samples(  # type: ignore[override]  # for the base class, a share is a batch
        self,
        epoch_iterator: Iterator[list[Item]],
        num_batches: int,  # noqa: ARG002 - always 1
        device: torch.device,
    ) -> tuple[list[Share], torch.Tensor]:
        """Return this process's share of the next step, and the units of the whole step."""
        rows = next(epoch_iterator)
        cuts = self._cut(rows)
        own = self._processes.share(cuts)
        parts = [self._batch(part) for part in own]
        idle = [self._batch(cuts[0][:1])] if len(own) * self._processes.count < len(cuts) else []
        for batch in idle:
            batch["tokens"] = 0
        units_O = self._processes.sum(self._count_units(parts, device)).clamp(min=1).float()
        sums_O2 = self._look_ahead(self.model, [*parts, *idle], counted=len(parts))
        if sums_O2 is not None:
            ahead_O = mean(self._processes.sum(sums_O2))
            for batch in (*parts, *idle):
                batch["ahead"] = ahead_O
        return [{"parts": parts, "idle": idle}], units_O

    def training_step(  # type: ignore[override]  # for the base class, a share is a batch
        self, model: torch.nn.Module, inputs: Share, num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Add up the gradients of this process's share, then those of all processes; return the loss of the share."""
        assert num_items_in_batch is not None  # noqa: S101 - get_batch_samples returns it
        loss = torch.zeros((), device=self.args.device)
        if inputs["parts"]:
            loss += super().training_step(model, {"parts": inputs["parts"]}, num_items_in_batch)
        if inputs["idle"]:
            # Divided by infinitely many units, it counts nothing.
            super().training_step(model, {"parts": inputs["idle"]}, torch.full_like(num_items_in_batch, torch.inf))
        self._processes.sum_gradients(self._trained)
        self._log.sum_step()
        return loss

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
            losses = self._processes.map(lambda part: float(self.compute_loss(self.model, self._batch(part))), parts)
        total = sum(loss * len(part) for loss, part in zip(losses, parts, strict=True))
        metrics = {f"{metric_key_prefix}_loss": total / len(rows)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _cut(self, rows: list[Item]) -> list[list[Item]]:
        """Return the rows of a step by the batch that they come into."""
        if self._packing is None:
            return cut(rows, self._rows_per_batch, self._processes.count)
        return cast("list[list[Item]]", self._packing.parts(cast("Any", rows), count=self._processes.count))

    def _batch(self, rows: list[Item]) -> TrainingBatch:
        collate: Any = self._packing.pack if self._packing else self._collator
        batch: TrainingBatch = self._prepare_inputs(collate(rows))
        return batch

    def _move_model_to_device(self, model: torch.nn.Module, device: torch.device) -> None:
        """Do nothing, because the model is there, and a sharded one cannot be moved."""


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


def cut(rows: list[Item], size: int, count: int) -> list[list[Item]]:
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
