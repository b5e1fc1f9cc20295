"""What ``leap bench scale`` measures of training: one process against several, on the same work."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leap_exp.cli.bench_train import corrected_episodes
from leap_exp.core.errors import ConfigError
from leap_exp.core.launch import LaunchConfig
from leap_exp.core.types import Correction
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.environment import AlfworldEnvironment
from leap_exp.runs import TRAIN_LOG
from leap_exp.students.config import AdapterConfig, HfStudentConfig
from leap_exp.students.hf import HfStudent
from leap_exp.students.weights import SHAPES
from leap_exp.trainers.config import SftConfig


def training(shape: str, *, episodes: int = 4, per_step: int = 2, count: int = 2) -> dict[str, float]:
    """Measure an epoch of supervised fine-tuning in 1 and in ``count`` processes; accelerators are used if there are.

    Args:
        shape: Shape of the model, whose weights are random: tiny, 135m or 8b.
        episodes: Corrected episodes of 20 steps.
        per_step: Episodes of an optimizer step.
        count: Number of processes that one is compared with.
    """
    if shape not in SHAPES:
        raise ConfigError(f"--shape={shape} is not valid; choose one of: {', '.join(SHAPES)}.")
    environment = AlfworldEnvironment(AlfworldConfig())
    config = HfStudentConfig(
        model=SHAPES[shape],
        format="plain",
        reasons=False,
        list_actions=False,
        context_length=8192,
        max_new_tokens=64,
        lora=AdapterConfig(r=32, alpha=32, dropout=0.0),
    )
    student = HfStudent(config, environment)
    work = corrected_episodes(environment, episodes)
    # The processes go first: this one keeps the memory of its own training, and with them it would be too much.
    several, one = (_epoch(student, work, per_step, devices) for devices in (count, 1))
    return {
        "processes_count": float(count),
        "one_tokens_per_second": round(one["tokens_per_second"], 1),
        "several_tokens_per_second": round(several["tokens_per_second"], 1),
        "several_to_one_ratio": round(several["tokens_per_second"] / one["tokens_per_second"], 3),
        "several_start_seconds": round(several["start_seconds"], 1),
        "loss_relative_difference": max(
            abs(a - b) / abs(a) for a, b in zip(one["losses"], several["losses"], strict=True)
        ),
    }


def _epoch(student: HfStudent, work: Sequence[Correction], per_step: int, devices: int) -> dict[str, Any]:
    """Train an epoch; return tokens per second, the seconds before and after it, and the losses of its steps."""
    config = SftConfig(epochs=1, gradient_accumulation=per_step, validation_share=0.0)
    trainer = config.build().launched(LaunchConfig(devices=str(devices)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "student"
        out.mkdir()
        start = time.monotonic()
        metrics = trainer.fit(student, work, [], out=out, seed=0, on_progress=lambda *_: None)
        wall = time.monotonic() - start
        lines = (out / TRAIN_LOG).read_text(encoding="utf-8").splitlines()
    return {
        "tokens_per_second": metrics["train/tokens_per_second"],
        "start_seconds": wall - metrics["train/duration_seconds"],
        "losses": [json.loads(line)["loss"] for line in lines],
    }
