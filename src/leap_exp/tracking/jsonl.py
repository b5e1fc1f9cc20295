"""Metrics as JSON lines in the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from leap_exp.core.types import Correction, Trajectory
from leap_exp.store import LineLog, encode_metrics


class JsonlTracker:
    """Writes metrics.jsonl; records and students lie in the run folder already, so there is nothing to do for them."""

    def __init__(self, run_dir: Path) -> None:
        self._lines = LineLog(run_dir / "metrics.jsonl")

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Write a line unless a former process of this run did."""
        self._lines.replay({"round": round_index, "metrics": encode_metrics(metrics)})

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Nothing: the trajectories lie in the round's folder."""

    def log_corrections(self, corrections: Sequence[Correction], *, round_index: int) -> None:
        """Nothing: the corrections lie in the round's folder."""

    def log_student(self, folder: Path, *, round_index: int) -> None:
        """Nothing: the student lies in the round's folder."""
