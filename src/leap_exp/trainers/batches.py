"""Batches of a token budget: the rows of an optimizer step are packed into as few packed rows as hold them.

An optimizer step sees the same rows with the same weights, however they are packed.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch

from leap_exp.tokens.block_mask import BLOCK, FLEX
from leap_exp.tokens.packing import pack
from leap_exp.tokens.scoring import Batch, score_batch
from leap_exp.tokens.spans import Row
from leap_exp.trainers.memory import TokenBudget, TokenCost, activation_memory, token_budget
from leap_exp.trainers.objective_trainer import Collator, ObjectiveTrainer, TrainingBatch, frozen

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)

_LONGEST_EAGER_ROW = 600
"""Median row length up to which plain attention trains faster on a CPU than the fused kernel, whose backward pass is
slow there: by up to 14 % on rows of 200 to 500 tokens. At 900 tokens the fused one is faster by 15 %, at
1,300 by 89 %."""
_COMPARED_ROWS = 8
_TOLERANCE_NATS = 0.05
"""Mean difference of log-probabilities between two ways of computing in bfloat16 that counts as rounding."""


class Step(TypedDict):
    """The rows of an optimizer step, or of a validation batch, as packed rows."""

    parts: list[TrainingBatch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Packs rows.

    Attributes:
        budget: How long packed rows may be.
        collator: Makes a batch of one row, with ``ends``.
        multiple: A packed row is padded to a multiple of this length.
    """

    budget: TokenBudget
    collator: Collator
    multiple: int = 1

    def prepare(self, rows: Sequence[Row]) -> list[TrainingBatch]:
        """Return each row as a batch of its own. It is made once, so that an optimizer step only joins tensors."""
        batches = []
        for row in rows:
            batch = self.collator([row])
            if row.briefed:
                batch["briefed"] = self._join([self.collator.scored([part]) for part in row.briefed])
            batches.append(batch)
        return batches

    def __call__(self, batches: Sequence[TrainingBatch]) -> Step:
        """Return prepared rows as packed rows."""
        groups = split([_length(batch) for batch in batches], budget=self.budget.tokens)
        return {"parts": [self._pack([batches[index] for index in group]) for group in groups]}

    def _pack(self, batches: Sequence[TrainingBatch]) -> TrainingBatch:
        packed = cast("TrainingBatch", {**self._join(batches), "tokens": sum(batch["tokens"] for batch in batches)})
        if "briefed" in batches[0]:
            packed["briefed"] = self._join([batch["briefed"] for batch in batches])
        return packed

    def _join(self, batches: Sequence[Batch]) -> Batch:
        return pack(batches, pad_id=self.collator.pad_id, multiple=self.multiple)


def split(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Return which of the trees with these ``lengths`` share a packed row.

    There are as few rows as possible of at most ``budget`` tokens, of similar lengths; a longer tree has its own.
    """
    longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    alone = [[index] for index in longest_first if lengths[index] > budget]
    order = longest_first[len(alone) :]
    groups: list[list[int]] = []
    for count in range(-(-sum(lengths[index] for index in order) // budget), len(order) + 1):
        groups = [[] for _ in range(count)]
        totals = [0] * count
        for index in order:
            shortest = totals.index(min(totals))
            groups[shortest].append(index)
            totals[shortest] += lengths[index]
        if max(totals, default=0) <= budget:
            break
    return sorted(sorted(group) for group in [*alone, *groups])


def find_packing(
    model: "PeftModel", rows: Sequence[Row], collator: Collator, *, tokens: int | None, distributions: bool
) -> Packing | None:
    """Return how to pack ``rows``, or None for one tree per row.

    Args:
        model: The model that is trained, on its device.
        rows: The rows to train on.
        collator: Makes batches of one tree per row.
        tokens: Tokens of a packed row; None for what a GPU's memory holds, and for no packing on a processor.
        distributions: Whether the objectives compare whole distributions, which takes two more copies of the logits.
    """
    on_cpu = model.device.type == "cpu"
    if not collator.one_pass or (on_cpu and tokens is None):
        return None
    if on_cpu:
        budget = TokenBudget(cast("int", tokens))
    else:
        scored = sum(len(span.places) for row in rows for span in row.spans) / sum(len(row.tree) for row in rows)
        lora = model.peft_config[model.active_adapter]
        cost = TokenCost.of(
            model.config.get_text_config(),
            rank=lora.r,
            dropout=lora.lora_dropout > 0,
            scored_share=scored * (3 if distributions else 1),
        )
        budget = token_budget(cost, activation_memory(model), tokens)
        logger.info(
            "Batches of up to %s tokens; gradient checkpointing beyond %s.", f"{budget.tokens:,}", f"{budget.plain:,}"
        )
    return Packing(
        budget=budget,
        collator=Collator(pad_id=collator.pad_id, dtype=None, one_pass=True, passes=collator.passes),
        multiple=1 if on_cpu else BLOCK,
    )


def set_attention(model: "PeftModel", rows: Sequence[Row], packing: Packing | None) -> None:
    """Let the model compute attention in the way that is fastest for training on ``rows``, in one pass each."""
    base = model.get_base_model()
    if model.device.type == "cpu":
        longest = median(len(row.tree) for row in rows) if packing is None else packing.budget.tokens
        if longest <= _LONGEST_EAGER_ROW:
            base.set_attn_implementation("eager")
    elif packing is not None and not getattr(model.config.get_text_config(), "attention_dropout", 0.0):
        step = packing(packing.prepare(rows[:_COMPARED_ROWS]))
        use_flex_attention(model, step["parts"][0])


def use_flex_attention(model: "PeftModel", batch: Batch) -> bool:
    """Use FlexAttention if it gives the log-probabilities that the model's present attention gives on ``batch``.

    It needs a compiler for the device, and some families have more in their attention than it computes.
    """
    base = model.get_base_model()
    present = base.config._attn_implementation
    on_device = {name: value.to(model.device) for name, value in batch.items() if isinstance(value, torch.Tensor)}

    def score() -> torch.Tensor:
        with frozen(model):
            return score_batch(model, on_device)  # type: ignore[arg-type]

    expected_N = score()
    try:
        base.set_attn_implementation(FLEX)
        difference = float((score() - expected_N).abs().mean())
    except Exception as error:  # noqa: BLE001 - compilers and families raise errors of many classes
        logger.info("FlexAttention cannot be used (%s: %s).", type(error).__name__, error)
        difference = float("inf")
    if not difference <= _TOLERANCE_NATS:
        logger.info("Training with the attention %s, because FlexAttention differs by %.2g.", present, difference)
        base.set_attn_implementation(present)
        return False
    return True


class PackedTrainer(ObjectiveTrainer):
    """A trainer whose batches are the packed rows of a whole optimizer step.

    Args:
        budget: Says which packed rows need checkpointing.
        arguments: What ``ObjectiveTrainer`` takes.
    """

    def __init__(self, *arguments: Any, packed: TokenBudget, **named: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*arguments, **named)
        self._packed = packed
        self._is_checkpointing = True
        if packed.plain < float("inf"):
            # The other implementation needs gradients at the input, which a frozen embedding does not have.
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def get_batch_samples(  # type: ignore[override]  # the base class passes them on to ``training_step``
        self,
        epoch_iterator: Iterator[Step],
        num_batches: int,  # noqa: ARG002 - always 1
        device: torch.device,
    ) -> tuple[list[Step], torch.Tensor | None]:
        """Return the step, with the units of all its parts and what objectives estimate over them."""
        step = next(epoch_iterator, None)
        if step is None:
            return [], None
        parts, units_O = super().get_batch_samples(iter(step["parts"]), len(step["parts"]), device)
        return [{"parts": parts}], units_O

    def training_step(
        self, model: torch.nn.Module, inputs: Step, num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a step, and add its gradients part by part."""
        losses = []
        for place, part in enumerate(inputs["parts"]):
            self._set_checkpointing(model, part["input_ids"].shape[1])
            is_last = place == len(inputs["parts"]) - 1
            # Several devices exchange gradients after the last part only.
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        return torch.stack(losses).sum()

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: Step,
        prediction_loss_only: bool,  # noqa: ARG002
        ignore_keys: list[str] | None = None,  # noqa: ARG002
    ) -> tuple[torch.Tensor, None, None]:
        """Return the loss of a validation batch."""
        parts = self._prepare_inputs(inputs)["parts"]
        units_O = self._units(parts, self.args.device)
        with torch.no_grad(), self.compute_loss_context_manager():
            losses = [self.compute_loss(model, part, num_items_in_batch=units_O) for part in parts]
        return torch.stack(losses).sum().detach(), None, None

    def floating_point_ops(self, inputs: Step) -> int:  # noqa: ARG002
        """Return 0: nobody reads the base class's estimate, which warns about inputs of this form."""
        return 0

    def _set_checkpointing(self, model: torch.nn.Module, tokens: int) -> None:
        needed = self._packed.needs_checkpointing(tokens)
        if needed is not self._is_checkpointing:
            self._is_checkpointing = needed
            for module in model.modules():
                if hasattr(module, "gradient_checkpointing"):
                    setattr(module, "gradient_checkpointing", needed)  # noqa: B010 - its type is not known


def trainer_class(packing: Packing | None) -> Callable[..., ObjectiveTrainer]:
    """Return what makes a trainer for batches of the form that ``packing`` gives."""
    if packing is None:
        return ObjectiveTrainer
    budget = packing.budget
    return lambda *arguments, **named: PackedTrainer(*arguments, packed=budget, **named)


def _length(batch: TrainingBatch) -> int:
    """Return the length of the row, or of the longer one with the briefing."""
    length = batch["input_ids"].shape[1]
    return max(length, batch["briefed"]["input_ids"].shape[1]) if "briefed" in batch else length
