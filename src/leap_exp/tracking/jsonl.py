"""Metrics as JSON lines in the run folder."""

from collections.abc import Mapping
from pathlib import Path

from leap_exp.core.protocols import Tracker
from leap_exp.runs import LineLog, encode_metrics


class JsonlTracker(Tracker):
    """Writes metrics.jsonl. Records and students are in the run folder already.

    Every run has this file, so other trackers subclass this one.
    """

    def __init__(self, run_dir: Path) -> None:
        self._lines = LineLog(run_dir / "metrics.jsonl")

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Write a line, unless an earlier process of this run did."""
        self._lines.replay({"round": round_index, "metrics": encode_metrics(metrics)})
