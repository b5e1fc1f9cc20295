"""Training in several processes of this machine: torchrun starts them, and files are all that they exchange with us.

In the folder NAME.processes beside the student's folder NAME are the training (``Task``), what the first process
reports, and a log of each process.
"""

import json
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from leap_exp.core import errors, guard
from leap_exp.core.errors import ConfigError, LeapError, TrainingError
from leap_exp.core.launch import AUTO, LaunchConfig
from leap_exp.core.protocols import ProgressCallback
from leap_exp.runs import decode_metrics, read_document, storing
from leap_exp.tokens.engine import TrainableWeights
from leap_exp.trainers.processes import Processes

TASK, REPORTS, METRICS, FAILURE = "task.pickle", "reports.jsonl", "metrics.json", "failure_{rank}.json"
_LOG_NAME = "torchrun.log"
_POLL_SECONDS = 0.1
_KEPT_LINES = 20
"""How much of the log of a process that failed is shown."""
_RESIDENT_SHARE = 0.7
"""Share of a device's memory that weights, adapter and optimizer may take; the rest is for activations."""


class Training(Protocol):
    """What the processes do."""

    @property
    def weights(self) -> TrainableWeights:
        """The student's weights."""

    @property
    def has_teacher(self) -> bool:
        """Whether an objective compares with a teacher model."""

    def run(self, out: Path, on_progress: ProgressCallback, *, processes: Processes, sharded: bool) -> dict[str, float]:
        """Do it, write the result to ``out`` and return metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a process reads from the file.

    Attributes:
        training: The training.
        out: The folder of its result.
        sharded: Whether the frozen weights are spread over the processes.
    """

    training: Training
    out: Path
    sharded: bool


def count_devices(launch: LaunchConfig, device: str) -> int:
    """Return the number of processes to train with, for a student on ``device``.

    Raises:
        ConfigError: There are fewer accelerators.
    """
    visible = torch.cuda.device_count() if device.startswith("cuda") else 0
    if launch.devices == AUTO:
        return max(1, visible)
    if device.startswith("cuda") and int(launch.devices) > visible:
        raise ConfigError(
            f"launch.devices={launch.devices}, but {visible} accelerators are visible; set auto, or fewer."
        )
    return int(launch.devices)


def train_in_processes(
    training: Training, count: int, launch: LaunchConfig, *, out: Path, on_progress: ProgressCallback
) -> dict[str, float]:
    """Let ``count`` processes do ``training`` together, and return its metrics.

    They end with this process, however it ends.

    Raises:
        ConfigError: The training cannot be done with these settings.
        TrainingError: A process failed. The message has the end of its log.
    """
    sharded = _is_sharded(launch, training)
    folder = processes_folder(out)
    with storing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        task = Task(training=training, out=out.absolute(), sharded=sharded)
        (folder / TASK).write_bytes(pickle.dumps(task))
    if training.weights.device.startswith("cuda"):
        # What this process has freed, but still holds.
        torch.cuda.empty_cache()
    reports = _Reports(folder / REPORTS, on_progress)
    with _torchrun(folder, count) as process:
        while process.poll() is None:
            reports.pass_on()
            time.sleep(_POLL_SECONDS)
    reports.pass_on()
    if process.returncode:
        raise _failure(folder, count)
    return decode_metrics(read_document(folder / METRICS))


def processes_folder(out: Path) -> Path:
    """Return the folder of the processes that train what is in ``out``."""
    return out.with_name(f"{out.name}.processes")


def _is_sharded(launch: LaunchConfig, training: Training) -> bool:
    weights = training.weights
    if launch.sharding == "none":
        return False
    if launch.sharding == AUTO:
        if not weights.device.startswith("cuda"):
            return False
        if weights.resident_bytes() <= _RESIDENT_SHARE * torch.cuda.get_device_properties(0).total_memory:
            return False
    if training.has_teacher:
        raise ConfigError(
            "Distillation cannot spread its models over devices (launch.sharding=full, or auto for a model that does "
            "not fit); use trainer=sft, dpo or kto, or launch.sharding=none with a smaller student.model."
        )
    if not weights.can_be_spread:
        raise ConfigError(
            "This student cannot be spread over devices, because its weights are quantised or its model reads each "
            "branch of a trajectory separately; set launch.sharding=none, or choose another student."
        )
    return True


@contextmanager
def _torchrun(folder: Path, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``count`` processes with torchrun, and end them at the end of the context."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    options = ["--nproc-per-node", str(count), "--log-dir", str(folder / "logs"), "--redirects", "3"]
    command = [sys.executable, *torchrun, *options, "-m", "leap_exp.trainers.worker", str(folder)]
    with (folder / _LOG_NAME).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # An interrupt from the terminal reaches this process only.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


class _Reports:
    """Passes on what the first process reports: its progress and its warnings."""

    def __init__(self, path: Path, on_progress: ProgressCallback) -> None:
        self._path = path
        self._on_progress = on_progress
        self._read = 0

    def pass_on(self) -> None:
        """Pass on the lines that are new and complete."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith(b"\n"):
                self._read += len(line)
                report = json.loads(line)
                if "message" in report:
                    logging.getLogger(report["logger"]).log(report["level"], "%s", report["message"])
                else:
                    self._on_progress(report["done"], report["total"])


def _failure(folder: Path, count: int) -> LeapError:
    """Return the error of the process that failed first.

    A process notes its error, unless it was killed. Those that lose the connection to it then fail as well.
    """
    paths = (folder / FAILURE.format(rank=rank) for rank in range(count))
    notes = sorted((read_document(path) for path in paths if path.exists()), key=lambda note: float(note["time"]))
    for note in notes:
        kind = getattr(errors, note["kind"], None)
        if isinstance(kind, type) and issubclass(kind, LeapError):
            return kind(note["message"])
    torchrun = _text(folder / _LOG_NAME)
    first = re.search(r"Root Cause.*?\brank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", torchrun, re.DOTALL)
    if first is None:
        return TrainingError(f"torchrun could not start the training ({folder / _LOG_NAME}):\n{_end(torchrun)}")
    noted = [note["rank"] for note in notes]
    rank = noted[0] if int(first[1]) in noted else int(first[1])
    status = "" if rank in noted else f" with exit status {first[2]}"
    (log,) = (folder / "logs").glob(f"*/attempt_0/{rank}/stderr.log")
    return TrainingError(
        f"Process {rank} of the {count} that trained failed{status}. Give the same command again to go on. "
        f"The end of its log ({log}):\n{_end(_text(log))}"
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_KEPT_LINES:])
