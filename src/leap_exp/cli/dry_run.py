"""``leap run --dry-run``: print the plan of a run instead of running it."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from leap_exp.config.plan import PlannedStage, plan_memory, plan_stages
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import ConfigError
from leap_exp.runs import read_lines
from leap_exp.students.config import HfStudentConfig, VllmStudentConfig
from leap_exp.students.sizing.memory import FULL, HALF
from leap_exp.students.sizing.shapes import model_shape
from leap_exp.students.sizing.speed import (
    Speed,
    calibrate,
    known_speed,
    machine_name,
    remember_speed,
    remember_training,
)

OPTION = "--dry-run"
_GIB = 1 << 30
_UNKNOWN = "?"
_TRAINED = "train/tokens_per_second"


def print_plan(config: RunConfig, console: Console) -> None:
    """Print stages, devices, memory, tokens, hours and dollars of the run with settings ``config``.

    Nothing is downloaded and no run folder is made.
    """
    student = config.student
    if not isinstance(student, HfStudentConfig):
        console.print(_stages(plan_stages(config, None)))
        return
    device, dtype = _device_and_type(student)
    speed = None
    try:
        number_bytes = HALF if dtype == "bfloat16" else FULL
        memory = plan_memory(config, number_bytes=number_bytes, on_accelerator=device.startswith("cuda"))
        speed = _speed(student, device, dtype, conversations=config.batch)
    except ConfigError as error:
        console.print(f"No memory and no time: {error}", highlight=False, soft_wrap=True)
        memory = {}
    console.print(_stages(plan_stages(config, speed)))
    console.print(f"Device: {machine_name(device)} ({device}, {dtype})", highlight=False, soft_wrap=True)
    if speed is not None:
        console.print(
            f"Speed ({speed.source}): {speed.read:,.0f} tokens/s read, {speed.written:,.0f} written, "
            f"{speed.trained:,.0f} trained",
            highlight=False,
            soft_wrap=True,
        )
    if memory:
        console.print(_memory(memory))
        console.print(_verdict(memory, device), highlight=False, soft_wrap=True)
    if isinstance(student, VllmStudentConfig):
        servers = ", ".join(each.base_url for each in student.endpoint.replicas)
        console.print(f"Acts through vLLM at {servers}", highlight=False, soft_wrap=True)


@contextmanager
def no_run_folder() -> Iterator[list[str]]:
    """Yield arguments with which Hydra makes its folders in a place that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="leap_plan_") as folder:
        yield [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]


def note_speed(config: RunConfig, run_dir: Path) -> None:
    """Keep the speed at which the run in ``run_dir`` has trained its student, for later plans."""
    student = config.student
    lines = read_lines(run_dir / "timings.jsonl")
    speeds = [line["metrics"][_TRAINED] for line in lines if _TRAINED in line.get("metrics", {})]
    if isinstance(student, HfStudentConfig) and speeds:
        device, dtype = _device_and_type(student)
        remember_training(student.model, median(speeds), device=device, dtype=dtype)


def _device_and_type(student: HfStudentConfig) -> tuple[str, str]:
    # Imported here, because torch takes long and other students do without it.
    from leap_exp.students.weights import select_device, select_dtype

    device = select_device(student.device)
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
    needed = max(sum(parts.values()) for parts in memory.values())
    available = _device_bytes(device)
    if needed <= available:
        return f"It fits: {needed / _GIB:.1f} of {available / _GIB:.1f} GiB."
    return (
        f"It does not fit: {needed / _GIB:.1f} of {available / _GIB:.1f} GiB. Take a larger device, "
        "student.quantization=nf4, a smaller student.lora.r, a shorter student.context_length or a smaller batch."
    )


def _device_bytes(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.mem_get_info(device)[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _hours(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds / 3600:,.2f}"


def _dollars(dollars: float | None) -> str:
    return _UNKNOWN if dollars is None else f"{dollars:,.2f}"


def _gib(size: float | None) -> str:
    return "" if size is None else f"{size / _GIB:,.2f}"
