"""``leap bench train``: how fast training is, beside the authors' way and TRL's own trainer on the same work.

The work is that of a round on ALFWorld: the corrections of failed episodes of 20 steps. The other ways read one row per
step, with the whole prompt anew.
"""

import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer
from transformers import Trainer

from leap_exp.cli.bench_options import Device, Dtype, Model, Shape, choose_shape
from leap_exp.cli.bench_step_rows import (
    STEPS,
    StepRow,
    TimeIsUpError,
    Timing,
    padded_rows,
    rows_per_step,
    transformers_trainer,
    trl_trainer,
)
from leap_exp.core.errors import LeapError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction
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
from leap_exp.tokens.scoring import collate, score_batch
from leap_exp.tokens.spans import training_rows
from leap_exp.trainers.config import SftConfig

if TYPE_CHECKING:
    from peft import PeftModel

_OURS_SHARE, _OTHERS_SHARE = 0.4, 0.25
"""Shares of the time limit."""
_RANK = {"8b": 128}
_OTHER_RANK = 32


def train(
    device: Device = "auto",
    shape: Shape = None,
    model: Model = None,
    dtype: Dtype = "auto",
    tokens: Annotated[int | None, typer.Option(help="Tokens per batch, as trainer.tokens_per_batch.")] = None,
    corrections: Annotated[int, typer.Option(help="Corrected episodes of 20 steps.")] = 32,
    step: Annotated[int, typer.Option(help="Trajectories per optimizer step, in all ways.")] = 8,
    rows: Annotated[int, typer.Option(help="Rows per batch of the other ways, padded to the longest.")] = 1,
    seconds: Annotated[float, typer.Option(help="Time limit, met up to one optimizer step.")] = 240.0,
) -> None:
    """Measure training, beside one row per step with transformers' Trainer and with TRL's SFTTrainer."""
    device = select_device(device)
    measured = measure_training(
        device,
        choose_shape(shape, device),
        model,
        dtype,
        tokens=tokens,
        corrections=corrections,
        step=step,
        rows=rows,
        seconds=seconds,
    )
    for result in measured:
        # Printed as it grows, so that a time limit from outside costs the last way only.
        print(json.dumps(result), flush=True)


def measure_training(
    device: str,
    shape: str,
    model: str | None,
    dtype: str,
    *,
    tokens: int | None = None,
    corrections: int = 32,
    step: int = 8,
    rows: int = 1,
    seconds: float,
) -> Iterator[dict[str, Any]]:
    """Yield the figures of our trainer, and again with those of each other way; for the arguments see ``train``."""
    environment = AlfworldEnvironment(AlfworldConfig())
    _note("playing and correcting episodes")
    work = corrected_episodes(environment, corrections)
    student = _student(environment, model or SHAPES[shape], device, dtype, rank=_RANK.get(shape, _OTHER_RANK))
    step_rows = [row for correction in work for row in rows_per_step(student, correction)]
    per_trajectory = sum(map(len, step_rows)) / len(work)
    _note("measuring the rate of matrix products")
    matrix_rate = _matrix_rate(device, student.dtype)
    ours = _ours(student, work, step, tokens, limit=_OURS_SHARE * seconds)
    reference = student.trainable_model()
    flops = _flops_per_token(reference)
    result: dict[str, Any] = {
        "benchmark": "train",
        "model": model or shape,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "dtype": str(student.dtype).removeprefix("torch."),
        "trajectories": len(work),
        "steps_per_trajectory": STEPS,
        "matrix_tflops": round(matrix_rate / 1e12, 3),
        "loss_relative_difference": _loss_difference(reference, student, work[0]),
        "ours": _figures(ours, ours["tokens_per_trajectory"], flops, matrix_rate),
    }
    yield result
    for name, make in (("authors", transformers_trainer), ("trl", trl_trainer)):
        figures = _other(student, reference, step_rows, make, rows=rows, step=step, limit=_OTHERS_SHARE * seconds)
        result[name] = figures
        if "skipped" not in figures:
            result[name] = _figures(figures, per_trajectory, flops, matrix_rate)
            for unit in ("tokens", "seconds"):
                key = f"{unit}_per_trajectory"
                result[f"{name}_{unit}_ratio"] = round(result[name][key] / result["ours"][key], 2)
        yield result


def corrected_episodes(environment: AlfworldEnvironment, count: int) -> list[Correction]:
    """Return the oracle's corrections of ``count`` failed episodes of 20 random steps."""
    tasks = environment.tasks("train")[: 2 * count]
    played = rollout(
        environment,
        RandomPolicy(),
        tasks,
        seed=0,
        max_steps=STEPS,
        batch=len(tasks),
        on_progress=lambda *_: None,
    )
    failed = [trajectory for trajectory in played if len(trajectory.steps) == STEPS][:count]
    briefings = [brief(environment, trajectory.task, Disclosure.P50) for trajectory in failed]
    results = OracleTeacher(environment, seed=0).correct(failed, briefings)
    return [result for result in results if isinstance(result, Correction)]


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
    student: HfStudent, work: Sequence[Correction], step: int, tokens: int | None, *, limit: float
) -> dict[str, float]:
    """Return what our trainer measured."""
    _note("training with leap_exp")
    rows = [row for correction in work for row in training_rows(correction, student.codec)]
    _free()
    # On a processor, one trajectory per batch; on a GPU, as many as the tokens allow, whatever the batch size is.
    config = SftConfig(epochs=1e6, max_seconds=limit, batch_size=1, gradient_accumulation=step, tokens_per_batch=tokens)
    timing = Timing(limit)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "student"
        out.mkdir()
        metrics = config.build().fit(student, work, [], out=out, seed=0, on_progress=lambda *_: timing.note(0))
        lines = (out / TRAIN_LOG).read_text(encoding="utf-8").splitlines()
    timing.tokens = [json.loads(line)["tokens"] for line in lines]
    return {
        "tokens_per_second": timing.rate() if len(lines) > 1 else metrics["train/tokens_per_second"],
        "tokens_per_trajectory": sum(len(row.tree) for row in rows) / len(work),
        "optimizer_steps": len(lines),
        "peak_memory_gib": _peak_memory(student.device),
    }


def _other(
    student: HfStudent,
    model: "PeftModel",
    step_rows: Sequence[StepRow],
    make: Callable[..., Trainer],
    *,
    rows: int,
    step: int,
    limit: float,
) -> dict[str, Any]:
    """Return what another way measured, or why it was not."""
    _note(f"training with {make.__name__.replace('_', ' ')}, one row per step")
    timing = Timing(limit)
    _free()
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Not in the order of the episodes, so that the rows measured are of all lengths.
            order = torch.randperm(len(step_rows), generator=torch.Generator().manual_seed(0)).tolist()
            arguments = _arguments(student, folder, rows, step)
            make(student, model, [step_rows[index] for index in order], arguments, timing).train()
        except TimeIsUpError:
            pass
        except (ImportError, LeapError, torch.OutOfMemoryError) as error:
            return {"skipped": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    return {
        "tokens_per_second": timing.rate(),
        "rows": len(timing.tokens) - 1,
        "peak_memory_gib": _peak_memory(student.device),
    }


def _arguments(student: HfStudent, folder: str, rows: int, step: int) -> dict[str, Any]:
    on_cpu = student.device == "cpu"
    return {
        "output_dir": folder,
        "max_steps": 10**6,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": max(1, step * STEPS // rows),
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


def _loss_difference(model: "PeftModel", student: HfStudent, correction: Correction) -> float:
    """Return by how much the loss of a correction's row differs from that of one row per step, relative to it."""
    model.eval()
    batch = collate(list(training_rows(correction, student.codec)), pad_id=student.pad_id, dtype=student.dtype)
    losses = []
    with torch.no_grad():
        on_device = {name: value.to(model.device) for name, value in batch.items()}  # type: ignore[attr-defined]
        losses.append(-float(score_batch(model, on_device).sum()))  # type: ignore[arg-type]
        total = 0.0
        for row in rows_per_step(student, correction):
            inputs = padded_rows([row], pad_id=student.pad_id)
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
