"""One row per step, with the whole prompt anew: how the authors train, and what TRL's own trainer can read."""

import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad
from transformers import PrinterCallback, Trainer, TrainingArguments

from leap_exp.core.types import Correction, views
from leap_exp.students.hf import HfStudent
from leap_exp.tokens.scoring import IGNORED

if TYPE_CHECKING:
    from peft import PeftModel

STEPS = 20
_WARM_UP_SHARE = 1 / 3
"""Share of batches or optimizer steps that are not timed."""


@dataclass(slots=True)
class Timing:
    """How many tokens were read so far, and when."""

    limit: float
    times: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def note(self, tokens: int) -> None:
        """Note that ``tokens`` were read in all."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        self.tokens.append(tokens)

    @property
    def is_over(self) -> bool:
        """Whether the time limit is reached."""
        return self.times[-1] - self.times[0] >= self.limit

    def rate(self) -> float:
        """Return the tokens per second, without the first entries, in which kernels are compiled."""
        first = int(_WARM_UP_SHARE * (len(self.times) - 1))
        return (self.tokens[-1] - self.tokens[first]) / (self.times[-1] - self.times[first])


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as a row of its own: the prompt and the teacher's response."""

    prompt: list[int]
    response: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)

    @property
    def labels(self) -> list[int]:
        """The response's tokens, and before them what transformers leaves out of the loss."""
        return [IGNORED] * len(self.prompt) + list(self.response)


class TimeIsUpError(Exception):
    """Ends the training of another way."""


def rows_per_step(student: HfStudent, correction: Correction) -> list[StepRow]:
    """Return a row for each step of ``correction``."""
    return [
        StepRow(student.codec.prompt_ids(view), student.codec.response_ids(decision))
        for view, decision in zip(views(correction.trajectory), correction.decisions, strict=True)
    ]


def transformers_trainer(
    student: HfStudent,
    model: "PeftModel",
    step_rows: Sequence[StepRow],
    arguments: Mapping[str, Any],
    timing: Timing,
) -> Trainer:
    """Return transformers' Trainer for these rows, padded to the longest of a batch."""
    trainer = _timed(Trainer)(
        timing,
        model=model,
        args=TrainingArguments(**arguments, remove_unused_columns=False),
        train_dataset=list(step_rows),
        data_collator=partial(padded_rows, pad_id=student.pad_id),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trl_trainer(
    student: HfStudent,
    model: "PeftModel",
    step_rows: Sequence[StepRow],
    arguments: Mapping[str, Any],
    timing: Timing,
) -> Trainer:
    """Return TRL's SFTTrainer for these rows.

    Raises:
        ImportError: TRL or datasets is not installed.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("trl", "datasets"):
        if not importlib.util.find_spec(name):
            raise ImportError(f"{name} is not installed")
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = [{"input_ids": [*row.prompt, *row.response], "labels": row.labels} for row in step_rows]
    trainer = _timed(SFTTrainer)(
        timing,
        model=model,
        args=SFTConfig(**arguments, max_length=None),
        train_dataset=Dataset.from_list(data),
        processing_class=student.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _timed(kind: type[Trainer]) -> type[Trainer]:
    """Return a trainer of this kind that notes the tokens of each batch and stops at the time limit."""

    class Timed(kind):  # type: ignore[misc]  # transformers carries no types
        def __init__(self, timing: Timing, **options: Any) -> None:  # noqa: ANN401 - passed on
            super().__init__(**options)
            self._timing = timing

        def training_step(self, model: torch.nn.Module, inputs: Any, *rest: Any, **options: Any) -> torch.Tensor:  # noqa: ANN401 - passed on
            count = int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else inputs["input_ids"].numel()
            if not self._timing.times:
                self._timing.note(0)
            loss: torch.Tensor = super().training_step(model, inputs, *rest, **options)
            self._timing.note(self._timing.tokens[-1] + count)
            if self._timing.is_over:
                raise TimeIsUpError
            return loss

    return Timed


def padded_rows(step_rows: Sequence[StepRow], *, pad_id: int) -> dict[str, torch.Tensor]:
    """Return rows as a batch of transformers, padded to the longest."""
    longest = max(map(len, step_rows))

    def stack(sequences: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.stack([pad(torch.tensor(ids), (0, longest - len(ids)), value=fill) for ids in sequences])

    return {
        "input_ids": stack([[*row.prompt, *row.response] for row in step_rows], pad_id),
        "attention_mask": stack([[1] * len(row) for row in step_rows], 0),
        "labels": stack([row.labels for row in step_rows], IGNORED),
    }
