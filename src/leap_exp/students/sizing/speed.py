"""How fast this machine reads, writes and trains a model: from earlier runs, or from a short calibration."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leap_exp.core.errors import StoreError
from leap_exp.runs import cache_folder, read_document, storing, write_document
from leap_exp.students.sizing.shapes import ModelShape

if TYPE_CHECKING:
    import torch

_ENOUGH_SECONDS = 0.5
_TOKENS = {"cpu": 128, "cuda": 4096}
"""Tokens of a batch in the calibration: enough for the full rate."""
_LARGEST_LAYER_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Larger layers are measured at half their width, or a quarter and so on, and their time is scaled by their size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Tokens per second of a model on this machine.

    Attributes:
        read: When prompts are read.
        written: When answers are written, one token after the other in many conversations.
        trained: In training, gradient checkpointing included where it is used.
    """

    read: float
    written: float
    trained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPace:
    """What a run has taken on this machine.

    Attributes:
        episode_seconds: Seconds of an episode of the student, of many that ran at a time.
        trajectory_tokens: Tokens of a trajectory in training.
        trained: Tokens per second in training.
    """

    episode_seconds: float
    trajectory_tokens: float
    trained: float


def machine_name(device: str) -> str:
    """Return a name for what computes: the accelerator, or the processor with its cores."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.machine()}, {os.cpu_count()} cores"


def known_speed(model: str, *, device: str, dtype: str) -> Speed | None:
    """Return the speed that was calibrated before, or None."""
    found = _cached().get(_key(model, device, dtype))
    return Speed(**found) if found else None


def remember_speed(model: str, speed: Speed, *, device: str, dtype: str) -> None:
    """Keep ``speed`` for this machine and model."""
    _remember(_key(model, device, dtype), asdict(speed))


def known_pace(model: str, environment: str, *, device: str, dtype: str) -> RunPace | None:
    """Return the pace of the last run of ``model`` in ``environment`` on this machine, or None."""
    found = _cached().get(f"{_key(model, device, dtype)} | {environment}")
    return RunPace(**found) if found else None


def remember_pace(model: str, environment: str, pace: RunPace, *, device: str, dtype: str) -> None:
    """Keep the pace of a run."""
    _remember(f"{_key(model, device, dtype)} | {environment}", asdict(pace))


def _remember(key: str, value: object) -> None:
    path = _path()
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_document(path, {**_cached(), key: value})


def calibrate(
    shape: ModelShape, *, device: str, dtype: "torch.dtype", conversations: int, adapted_layers: int
) -> Speed:
    """Measure the linear modules of one layer, which take nearly all the time, and scale to all layers.

    Training reads every layer, and computes gradients in those with an adapter; on an accelerator it reads twice,
    because of gradient checkpointing. Attention, norms and the optimizer are left out, so that the real speed is lower.
    """
    import torch

    kind = "cuda" if device.startswith("cuda") else "cpu"
    width = 1
    while _layer_bytes(shape, dtype) / width**2 > _LARGEST_LAYER_BYTES[kind]:
        width *= 2
    sizes = [(inputs // width, outputs // width) for inputs, outputs in shape.linear.values()]
    modules = [torch.nn.Linear(i, o, bias=False, device=device, dtype=dtype).requires_grad_(False) for i, o in sizes]
    tokens = _TOKENS[kind]
    inputs_of = {n: [torch.randn(n, i, device=device, dtype=dtype) for i, _ in sizes] for n in (tokens, conversations)}

    def read(count: int) -> None:
        with torch.inference_mode():
            for module, values in zip(modules, inputs_of[count], strict=True):
                module(values)

    def read_and_back() -> None:
        for module, values in zip(modules, inputs_of[tokens], strict=True):
            module(values.detach().requires_grad_()).sum().backward()

    scale = width**2
    reading = scale * _seconds(lambda: read(tokens), kind) / tokens
    both = scale * _seconds(read_and_back, kind) / tokens
    writing = scale * _seconds(lambda: read(conversations), kind) / conversations
    again = reading if kind == "cuda" else 0.0
    training = adapted_layers * (both + again) + (shape.layers - adapted_layers) * reading
    return Speed(read=1 / (shape.layers * reading), written=1 / (shape.layers * writing), trained=1 / training)


def _seconds(work: Callable[[], None], kind: str) -> float:
    """Return the seconds of ``work``: the fastest of several times.

    On processors it is their time divided by the threads, so that other programs on the machine do not count.
    """
    import torch

    def clock() -> float:
        if kind == "cpu":
            return time.process_time() / torch.get_num_threads()
        torch.cuda.synchronize()
        return time.perf_counter()

    work()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < _ENOUGH_SECONDS:
        began = clock()
        work()
        best = min(best, clock() - began)
    return best


def _layer_bytes(shape: ModelShape, dtype: "torch.dtype") -> float:
    return shape.linear_parameters / shape.layers * dtype.itemsize


def _key(model: str, device: str, dtype: str) -> str:
    return f"{machine_name(device)} | {model} | {dtype}"


def _path() -> Path:
    return cache_folder() / "speeds.json"


def _cached() -> Mapping[str, Any]:
    try:
        return read_document(_path())
    except StoreError:
        return {}
