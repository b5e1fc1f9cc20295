"""``leap bench train``: how fast training is, beside the authors' way and TRL's own trainer on the same work.

The work is that of a round on ALFWorld: the corrections of failed episodes of 20 steps. The other ways read one row per
step, with the whole prompt anew.
"""

import gc
import importlib.util
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch.nn.functional import pad
from transformers import PrinterCallback, Trainer, TrainingArguments

from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, views
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.environment import AlfworldEnvironment
from leap_exp.runs import TRAIN_LOG
from leap_exp.stages.correct import brief
from leap_exp.stages.rollout import rollout
from leap_exp.students.config import AdapterConfig, HfStudentConfig
from leap_exp.students.hf import HfStudent
from leap_exp.students.scripted import RandomPolicy
from leap_exp.students.weights import SHAPES, select_device
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.tokens.scoring import IGNORED, collate, score_batch
from leap_exp.tokens.spans import training_rows
from leap_exp.trainers.config import SftConfig

_STEPS = 20
_TRAJECTORIES = 8
"""Trajectories of an optimizer step."""
_OURS_SHARE, _OTHERS_SHARE = 0.4, 0.25
"""Shares of the time limit."""
_WARM_UP_SHARE = 1 / 3
"""Share of batches or optimizer steps that are not timed."""
_RANK = {"8b": 128}
_OTHER_RANK = 32


@dataclass(slots=True)
class _Timing:
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
        return self.times[-1] - self.times[0] >= self.limit

    def rate(self) -> float:
        """Return the tokens per second, without the first entries, in which kernels are compiled."""
        first = int(_WARM_UP_SHARE * (len(self.times) - 1))
        return (self.tokens[-1] - self.tokens[first]) / (self.times[-1] - self.times[first])


@dataclass(frozen=True, slots=True)
class _StepRow:
    """A step as a row of its own: the prompt and the teacher's response."""

    prompt: list[int]
    response: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)

    @property
    def labels(self) -> list[int]:
        return [IGNORED] * len(self.prompt) + list(self.response)


class _TimeIsUpError(Exception):
    """Ends the training of another way."""


def train(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto (cuda if available).")] = "auto",
    shape: Annotated[
        str | None, typer.Option(help="Random weights: tiny, 135m or 8b. Default: 135m, or 8b on a GPU.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Instead: folder with weights, hub id, or smollm2_135m.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or auto, as student.dtype.")] = "auto",
    tokens: Annotated[int | None, typer.Option(help="Tokens per batch, as trainer.tokens_per_batch.")] = None,
    corrections: Annotated[int, typer.Option(help="Corrected episodes of 20 steps.")] = 32,
    rows: Annotated[int, typer.Option(help="Rows per batch of the other ways, padded to the longest.")] = 1,
    seconds: Annotated[float, typer.Option(help="Time limit, met up to one optimizer step.")] = 240.0,
) -> None:
    """Measure training, beside one row per step with transformers' Trainer and with TRL's SFTTrainer."""
    device = select_device(device)
    shape = shape or ("8b" if device.startswith("cuda") else "135m")
    if shape not in SHAPES:
        raise ConfigError(f"--shape={shape} is not valid; choose one of: {', '.join(SHAPES)}.")
    environment = AlfworldEnvironment(AlfworldConfig())
    _note("playing and correcting episodes")
    work = corrected_episodes(environment, corrections)
    student = _student(environment, model or SHAPES[shape], device, dtype, rank=_RANK.get(shape, _OTHER_RANK))
    step_rows = [row for correction in work for row in rows_per_step(student, correction)]
    per_trajectory = sum(map(len, step_rows)) / len(work)
    _note("measuring the rate of matrix products")
    matrix_rate = _matrix_rate(device, student.dtype)
    ours, flops = _ours(student, work, tokens, limit=_OURS_SHARE * seconds)
    others = {
        name: _other(student, step_rows, kind, rows=rows, limit=_OTHERS_SHARE * seconds)
        for name, kind in (("authors", _transformers_trainer), ("trl", _trl_trainer))
    }
    result: dict[str, Any] = {
        "benchmark": "train",
        "model": model or shape,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "dtype": str(student.dtype).removeprefix("torch."),
        "trajectories": len(work),
        "steps_per_trajectory": _STEPS,
        "matrix_tflops": round(matrix_rate / 1e12, 3),
        "loss_relative_difference": _loss_difference(student, work[0]),
        "ours": _figures(ours, ours["tokens_per_trajectory"], flops, matrix_rate),
    }
    for name, figures in others.items():
        if "skipped" in figures:
            result[name] = figures
            continue
        result[name] = _figures(figures, per_trajectory, flops, matrix_rate)
        for unit in ("tokens", "seconds"):
            key = f"{unit}_per_trajectory"
            result[f"{name}_{unit}_ratio"] = round(result[name][key] / result["ours"][key], 2)
    print(json.dumps(result))


def corrected_episodes(environment: AlfworldEnvironment, count: int) -> list[Correction]:
    """Return the oracle's corrections of ``count`` failed episodes of 20 random steps."""
    tasks = environment.tasks("train")[: 2 * count]
    played = rollout(
        environment,
        RandomPolicy(),
        tasks,
        seed=0,
        max_steps=_STEPS,
        batch=len(tasks),
        on_progress=lambda *_: None,
    )
    failed = [trajectory for trajectory in played if len(trajectory.steps) == _STEPS][:count]
    briefings = [brief(environment, trajectory.task, Disclosure.P50) for trajectory in failed]
    results = OracleTeacher(environment, seed=0).correct(failed, briefings)
    return [result for result in results if isinstance(result, Correction)]


def rows_per_step(student: HfStudent, correction: Correction) -> list[_StepRow]:
    """Return a row for each step of ``correction``."""
    return [
        _StepRow(student.codec.prompt_ids(view), student.codec.response_ids(decision))
        for view, decision in zip(views(correction.trajectory), correction.decisions, strict=True)
    ]


def _student(environment: AlfworldEnvironment, model: str, device: str, dtype: str, *, rank: int) -> HfStudent:
    # Decoding is free, because the other ways cannot score a token among the admissible ones only.
    config = HfStudentConfig(
        model=model,
        format="plain",
        decoding="free",
        reasons=False,
        list_actions=False,
        context_length=8192,
        max_new_tokens=64,
        dtype=dtype,
        device=device,
        lora=AdapterConfig(r=rank, alpha=rank, dropout=0.0),
    )
    return HfStudent(config, environment)


def _ours(
    student: HfStudent, work: Sequence[Correction], tokens: int | None, *, limit: float
) -> tuple[dict[str, float], float]:
    """Return what our trainer measured, and the floating-point operations per token."""
    _note("training with leap_exp")
    rows = [row for correction in work for row in training_rows(correction, student.codec)]
    model = student.trainable_model()
    flops = _flops_per_token(model)
    del model
    _free()
    config = SftConfig(epochs=1e6, max_seconds=limit, batch_size=_TRAJECTORIES, tokens_per_batch=tokens)
    if not student.device.startswith("cuda"):
        config.batch_size, config.gradient_accumulation = 1, _TRAJECTORIES
    else:
        config.gradient_accumulation = 1
    timing = _Timing(limit)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "student"
        out.mkdir()
        metrics = config.build().fit(student, work, [], out=out, seed=0, on_progress=lambda *_: timing.note(0))
        lines = (out / TRAIN_LOG).read_text(encoding="utf-8").splitlines()
    timing.tokens = [json.loads(line)["tokens"] for line in lines]
    measured = {
        "tokens_per_second": timing.rate() if len(lines) > 1 else metrics["train/tokens_per_second"],
        "tokens_per_trajectory": sum(len(row.tree) for row in rows) / len(work),
        "optimizer_steps": len(lines),
        "peak_memory_gib": _peak_memory(student.device),
    }
    return measured, flops


def _other(
    student: HfStudent,
    step_rows: Sequence[_StepRow],
    make: Callable[..., Trainer],
    *,
    rows: int,
    limit: float,
) -> dict[str, Any]:
    """Return what another way measured, or why it was not."""
    _note(f"training with {make.__name__.strip('_').replace('_', ' ')}, one row per step")
    timing = _Timing(limit)
    _free()
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Not in the order of the episodes, so that the rows measured are of all lengths.
            order = torch.randperm(len(step_rows), generator=torch.Generator().manual_seed(0)).tolist()
            make(student, [step_rows[index] for index in order], folder, rows, timing).train()
        except _TimeIsUpError:
            pass
        except (ImportError, LeapError, torch.OutOfMemoryError) as error:
            return {"skipped": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    return {
        "tokens_per_second": timing.rate(),
        "rows": len(timing.tokens) - 1,
        "peak_memory_gib": _peak_memory(student.device),
    }


def _arguments(student: HfStudent, folder: str, rows: int) -> dict[str, Any]:
    on_cpu = student.device == "cpu"
    return {
        "output_dir": folder,
        "max_steps": 10**6,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": max(1, _TRAJECTORIES * _STEPS // rows),
        "learning_rate": 3e-5,
        "max_grad_norm": 0.3,
        "bf16": student.dtype is torch.bfloat16,
        "use_cpu": on_cpu,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": not on_cpu,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def _transformers_trainer(
    student: HfStudent, step_rows: Sequence[_StepRow], folder: str, rows: int, timing: _Timing
) -> Trainer:
    trainer = _timed(Trainer)(
        timing,
        model=student.trainable_model(),
        args=TrainingArguments(**_arguments(student, folder, rows), remove_unused_columns=False),
        train_dataset=list(step_rows),
        data_collator=partial(_padded_rows, pad_id=student.pad_id),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trl_trainer(student: HfStudent, step_rows: Sequence[_StepRow], folder: str, rows: int, timing: _Timing) -> Trainer:
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not importlib.util.find_spec("trl"):
        raise ImportError("trl is not installed")
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = [{"input_ids": [*row.prompt, *row.response], "labels": row.labels} for row in step_rows]
    trainer = _timed(SFTTrainer)(
        timing,
        model=student.trainable_model(),
        args=SFTConfig(**_arguments(student, folder, rows), max_length=None),
        train_dataset=Dataset.from_list(data),
        processing_class=student.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _timed(kind: type[Trainer]) -> type[Trainer]:
    """Return a trainer of this kind that notes the tokens of each batch and stops at the time limit."""

    class Timed(kind):  # type: ignore[misc]  # transformers carries no types
        def __init__(self, timing: _Timing, **options: Any) -> None:  # noqa: ANN401 - passed on
            super().__init__(**options)
            self._timing = timing

        def training_step(self, model: torch.nn.Module, inputs: Any, *rest: Any, **options: Any) -> torch.Tensor:  # noqa: ANN401 - passed on
            count = int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else inputs["input_ids"].numel()
            if not self._timing.times:
                self._timing.note(0)
            loss: torch.Tensor = super().training_step(model, inputs, *rest, **options)
            self._timing.note(self._timing.tokens[-1] + count)
            if self._timing.is_over:
                raise _TimeIsUpError
            return loss

    return Timed


def _padded_rows(step_rows: Sequence[_StepRow], *, pad_id: int) -> dict[str, torch.Tensor]:
    longest = max(map(len, step_rows))

    def stack(sequences: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.stack([pad(torch.tensor(ids), (0, longest - len(ids)), value=fill) for ids in sequences])

    return {
        "input_ids": stack([[*row.prompt, *row.response] for row in step_rows], pad_id),
        "attention_mask": stack([[1] * len(row) for row in step_rows], 0),
        "labels": stack([row.labels for row in step_rows], IGNORED),
    }


def _loss_difference(student: HfStudent, correction: Correction) -> float:
    """Return by how much the loss of a correction's row differs from that of one row per step, relative to it."""
    model = student.trainable_model().eval()
    batch = collate(list(training_rows(correction, student.codec)), pad_id=student.pad_id, dtype=student.dtype)
    losses = []
    with torch.no_grad():
        on_device = {name: value.to(model.device) for name, value in batch.items()}  # type: ignore[attr-defined]
        losses.append(-float(score_batch(model, on_device).sum()))  # type: ignore[arg-type]
        total = 0.0
        for row in rows_per_step(student, correction):
            inputs = _padded_rows([row], pad_id=student.pad_id)
            logits_TV = model(input_ids=inputs["input_ids"].to(model.device)).logits[0, :-1].float()
            labels_T = inputs["labels"][0, 1:].to(model.device)
            total += float(torch.nn.functional.cross_entropy(logits_TV, labels_T, reduction="sum"))
        losses.append(total)
    return round(abs(losses[0] - losses[1]) / losses[1], 6)


def _flops_per_token(model: torch.nn.Module) -> float:
    """Return the floating-point operations that training takes per token, without attention and without the head.

    Two per weight in the forward pass, two in the backward pass to the activations and, for the adapter, two to the
    weights.
    """
    adapter = sum(each.numel() for name, each in model.named_parameters() if "lora_" in name)
    base = sum(
        each.numel()
        for name, each in model.named_parameters()
        if "lora_" not in name and "embed" not in name and "lm_head" not in name
    )
    return 4.0 * base + 6.0 * adapter


def _matrix_rate(device: str, dtype: torch.dtype, *, seconds: float = 2.0) -> float:
    """Return the floating-point operations per second of large matrix products."""
    size = 8192 if device.startswith("cuda") else 1024
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def run() -> None:
        first @ second
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(3):
        run()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run()
        count += 1
    return 2.0 * size**3 * count / (time.perf_counter() - start)


def _figures(measured: dict[str, Any], per_trajectory: float, flops: float, matrix_rate: float) -> dict[str, Any]:
    rate = measured["tokens_per_second"]
    return {
        **measured,
        "tokens_per_second": round(rate, 1),
        "tokens_per_trajectory": round(per_trajectory, 1),
        "seconds_per_trajectory": round(per_trajectory / rate, 4),
        "matrix_share": round(rate * flops / matrix_rate, 4),
    }


def _peak_memory(device: str) -> float:
    """Return the highest memory so far in GiB: of the GPU since the last ``_free``, or of this process."""
    peak = (
        torch.cuda.max_memory_allocated()
        if device.startswith("cuda")
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return round(peak / 2**30, 2)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
