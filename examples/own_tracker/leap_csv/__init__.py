"""A tracker that writes all metrics to one CSV file in the run folder, for spreadsheets."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.components import TrackerConfig
from leap_exp.core.protocols import Tracker
from leap_exp.core.settings import setting
from leap_exp.tracking.jsonl import JsonlTracker


@dataclass
class CsvConfig(TrackerConfig):
    """metrics.jsonl, and metrics.csv with one row per round and metric."""

    delimiter: str = setting(",", "What separates the columns.")

    @contextmanager
    def open(self, run_dir: Path, *, config: Mapping[str, object], sweep: str | None) -> Iterator[Tracker]:
        """Open both files."""
        yield CsvTracker(run_dir, self.delimiter)


class CsvTracker(JsonlTracker):
    """Writes the whole file after each change, so that a resumed run, which logs its rounds again, repeats no row."""

    def __init__(self, run_dir: Path, delimiter: str) -> None:
        super().__init__(run_dir)
        self._path = run_dir / "metrics.csv"
        self._delimiter = delimiter
        self._values: dict[tuple[int, str], float] = {}

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Add the metrics of a round."""
        super().log(metrics, round_index=round_index)
        self._values |= {(round_index, name): value for name, value in metrics.items()}
        with self._path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=self._delimiter)
            writer.writerow(("round", "metric", "value"))
            writer.writerows((index, name, value) for (index, name), value in self._values.items())
