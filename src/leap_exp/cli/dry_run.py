"""``leap run --dry-run``: print the plan of a run instead of running it."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from leap_exp.config.plan import PlannedStage, plan_memory, plan_stages
from leap_exp.config.run import RunConfig
from leap_exp.runs import read_lines, read_metrics
from leap_exp.students.config import HfStudentConfig, VllmStudentConfig
from leap_exp.students.sizing.memory import FULL, HALF
from leap_exp.students.sizing.shapes import model_shape
from leap_exp.students.sizing.speed import (
    RunPace,
    Speed,
    calibrate,
    known_pace,
    known_speed,
    machine_name,
    remember_pace,
    remember_speed,
)
from leap_exp.trainers.config import FitConfig

OPTION = "--dry-run"
_GIB = 1 << 30
_UNKNOWN = "?"
_TRAINED = "train/tokens_per_second"


def print_plan(config: RunConfig, console: Console) -> None:
    """Print stages, devices, memory, tokens, hours and dollars of the run with settings ``config``.

    Nothing is downloaded and no run folder is made.
    """

    def show(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    student = config.student
    if not isinstance(student, HfStudentConfig):
        console.print(_stages(plan_stages(config, None)))
        return
    device, dtype = _device_and_type(student)
    speed = pace = None
    if _is_here(device):
        speed = _speed(student, device, dtype, conversations=config.batch)
        pace = known_pace(student.model, type(config.env).__name__, device=device, dtype=dtype)
    console.print(_stages(plan_stages(config, speed, pace)))
    show(f"Device: {machine_name(device) if _is_here(device) else 'not on this machine'} ({device}, {dtype})")
    if speed is not None:
        show(
            f"Speed, calibrated: {speed.read:.3g} tokens/s read, {speed.written:.3g} written, "
            f"{speed.trained:.3g} trained"
        )
    if pace is not None:
        show(
            f"An earlier run took {pace.episode_seconds:.3g} s per episode and trained {pace.trained:.3g} tokens/s; "
            f"its trajectories had {pace.trajectory_tokens:,.0f} tokens. The hours come from these."
        )
    number_bytes = HALF if dtype == "bfloat16" else FULL
    memory = plan_memory(config, number_bytes=number_bytes, on_accelerator=not device.startswith("cpu"))
    console.print(_memory(memory))
    show(_verdict(memory, device))
    if isinstance(student, VllmStudentConfig):
        show(f"Acts through vLLM at {', '.join(each.base_url for each in student.endpoint.replicas)}")


@contextmanager
def no_run_folder() -> Iterator[list[str]]:
    """Yield arguments with which Hydra makes its folders in a place that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="leap_plan_") as folder:
        yield [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]


def note_pace(config: RunConfig, run_dir: Path) -> None:
    """Keep what the run in ``run_dir`` has taken, for later plans."""
    student = config.student
    lines, metrics = read_lines(run_dir / "timings.jsonl"), read_metrics(run_dir)
    trained = [line["metrics"][_TRAINED] for line in lines if _TRAINED in line.get("metrics", {})]
    seconds = sum(line.get("seconds", 0.0) for line in lines if _is_acting(line))
    episodes = sum(
        values.get(f"{stage}/{kind}", 0.0)
        for index, values in metrics.items()
        for stage in ("evaluate", *(["rollout"] if index else []))
        for kind in ("n_count", "unscored_count")
    )
    rows = sum(values.get("train/rows_count", 0.0) for values in metrics.values())
    epochs = config.trainer.epochs if isinstance(config.trainer, FitConfig) else 1.0
    tokens = sum(values.get("train/tokens_count", 0.0) for values in metrics.values()) / epochs
    if isinstance(student, HfStudentConfig) and trained and episodes and rows:
        pace = RunPace(episode_seconds=seconds / episodes, trajectory_tokens=tokens / rows, trained=median(trained))
        device, dtype = _device_and_type(student)
        remember_pace(student.model, type(config.env).__name__, pace, device=device, dtype=dtype)


def _is_acting(line: Mapping[str, Any]) -> bool:
    """Return whether a line of timings.jsonl is that of the student acting; the expert acts in round 0."""
    return bool(line["stage"] == "evaluation" or (line["stage"] == "trajectories" and line["round"] > 0))


def _is_here(device: str) -> bool:
    import torch

    return device.startswith("cpu") or torch.cuda.is_available()


def _device_and_type(student: HfStudentConfig) -> tuple[str, str]:
    # Imported here, because torch takes long and other students do without it.
    from leap_exp.students.weights import select_device, select_dtype

    device = select_device(student.device)
    if student.dtype == "auto" and not _is_here(device):
        return device, "bfloat16"
    return device, str(select_dtype(student.dtype, device)).removeprefix("torch.")


def _speed(student: HfStudentConfig, device: str, dtype: str, *, conversations: int) -> Speed:
    known = known_speed(student.model, device=device, dtype=dtype)
    if known is not None:
        return known
    import torch

    shape = model_shape(student.model)
    layers = shape.layers if student.lora.top_layers is None else student.lora.top_layers
    measured = calibrate(
        shape, device=device, dtype=getattr(torch, dtype), conversations=conversations, adapted_layers=layers
    )
    remember_speed(student.model, measured, device=device, dtype=dtype)
    return measured


def _stages(stages: list[PlannedStage]) -> Table:
    table = Table(title="Stages, at most", title_justify="left", box=SIMPLE)
    for column in ("stage", "work"):
        table.add_column(column)
    for column in ("tokens", "hours", "dollars"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in stages:
        table.add_row(stage.name, stage.work, f"{stage.tokens:,}", _hours(stage.seconds), _dollars(stage.dollars))
    seconds = [stage.seconds for stage in stages]
    dollars = [stage.dollars for stage in stages]
    known_seconds, known_dollars = (sum(value for value in each if value is not None) for each in (seconds, dollars))
    more = ("+" if None in seconds else ""), ("+" if None in dollars else "")
    total = f"{sum(stage.tokens for stage in stages):,}"
    table.add_row("all", "", total, _hours(known_seconds) + more[0], _dollars(known_dollars) + more[1])
    return table


def _memory(memory: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title="Memory per device, GiB", title_justify="left", box=SIMPLE)
    table.add_column("")
    uses = list(dict.fromkeys(use for parts in memory.values() for use in parts))
    for use in (*uses, "all"):
        table.add_column(use, justify="right", no_wrap=True)
    for name, parts in memory.items():
        values = [parts.get(use) for use in uses]
        table.add_row(name, *(_gib(value) for value in (*values, sum(parts.values()))))
    return table


def _verdict(memory: Mapping[str, Mapping[str, float]], device: str) -> str:
    needed = max(sum(parts.values()) for parts in memory.values()) / _GIB
    if not _is_here(device):
        return f"A device needs {needed:.1f} GiB, and some more for what is not counted: kernels, buffers."
    available = _device_bytes(device) / _GIB
    if needed <= available:
        return f"It fits: {needed:.1f} of {available:.1f} GiB."
    return (
        f"It does not fit: {needed:.1f} of {available:.1f} GiB. Take a larger device, student.quantization=nf4, a "
        "smaller student.lora.r, a shorter student.context_length or a smaller batch."
    )


def _device_bytes(device: str) -> float:
    if device.startswith("cpu"):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    import torch

    return float(torch.cuda.mem_get_info(device)[1])


def _hours(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds / 3600:,.2f}"


def _dollars(dollars: float | None) -> str:
    return _UNKNOWN if dollars is None else f"{dollars:,.2f}"


def _gib(size: float | None) -> str:
    return "" if size is None else f"{size / _GIB:,.2f}"
