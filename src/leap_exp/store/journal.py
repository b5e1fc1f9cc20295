"""The journal of a run: every stage of every round is done once, and its file is the mark that it is done."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_exp.core.protocols import Progress, ProgressCallback, Tracker
from leap_exp.store.codec import Record, decode_metrics, encode_metrics
from leap_exp.store.documents import read_document, write_document
from leap_exp.store.files import locked, storing
from leap_exp.store.lines import LineLog
from leap_exp.store.records import StoredRecords, read_records, write_records

Metrics = Mapping[str, float]
_OF_THIS_PROCESS = ("_seconds", "_per_second", "/paid_dollars", "/cache_hits_count", "/retries_count")
"""How metrics end that differ between equal runs: they are kept in timings.jsonl."""


def round_name(index: int) -> str:
    """The name of a round's folder."""
    return f"round_{index:03d}"


class Journal:
    """A run folder with those who are told of what happens in it."""

    def __init__(self, run_dir: Path, *, tracker: Tracker, progress: Progress) -> None:
        self.run_dir = run_dir
        self.tracker = tracker
        self._progress = progress
        self._timings = LineLog(run_dir / "timings.jsonl")

    @contextmanager
    def round(self, index: int) -> Iterator["RoundJournal"]:
        """The journal of a round; a round folder that several runs share is worked on by one of them at a time."""
        path = self.run_dir / round_name(index)
        with storing(path):
            path.resolve().mkdir(parents=True, exist_ok=True)
        with locked(path, wait=True) if path.is_symlink() else nullcontext():
            yield RoundJournal(
                path=path, index=index, tracker=self.tracker, progress=self._progress, timings=self._timings
            )

    def summarise(self, rounds: Sequence[Mapping[str, object]]) -> None:
        """Write summary.json: one entry a finished round."""
        write_document(self.run_dir / "summary.json", {"rounds": rounds})


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundJournal:
    """The stages of one round.

    What a stage made is always read back from its file, so that a resumed run goes on from the same values as an
    uninterrupted one; its metrics are logged then, whether it has just been done or long ago.
    """

    path: Path
    index: int
    tracker: Tracker
    progress: Progress
    timings: LineLog

    def records(
        self, name: str, produce: Callable[[ProgressCallback], tuple[Sequence[Record], Metrics]]
    ) -> StoredRecords:
        """The records of stage ``name`` in NAME.jsonl, made by ``produce`` if they are not there yet."""
        path = self.path / f"{name}.jsonl"
        if not path.exists():
            with self._timed(name) as on_progress:
                records, metrics = produce(on_progress)
            write_records(path, records, self._repeatable(name, metrics))
        stored = read_records(path)
        self.log(stored.metrics)
        return stored

    def document(self, name: str, produce: Callable[[ProgressCallback], Mapping[str, object]]) -> dict[str, Any]:
        """The document of stage ``name`` in NAME.json, made by ``produce`` if it is not there yet."""
        path = self.path / f"{name}.json"
        if not path.exists():
            with self._timed(name) as on_progress:
                data = produce(on_progress)
            write_document(path, data)
        return read_document(path)

    def folder(self, name: str, produce: Callable[[Path, ProgressCallback], Metrics]) -> Path:
        """The folder that stage ``name`` fills, filled by ``produce`` if it is not there yet."""
        path, part = self.path / name, self.path / f"{name}.part"
        if not path.exists():
            with storing(path):
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                with self._timed(name) as on_progress:
                    metrics = produce(part, on_progress)
                write_document(part / "metrics.json", encode_metrics(self._repeatable(name, metrics)))
                part.rename(path)
        self.log(decode_metrics(read_document(path / "metrics.json")))
        return path

    @contextmanager
    def _timed(self, name: str) -> Iterator[ProgressCallback]:
        start = time.monotonic()
        with self.progress.stage(name, round_index=self.index) as on_progress:
            yield on_progress
        self.timings.append({"round": self.index, "stage": name, "seconds": round(time.monotonic() - start, 3)})

    def _repeatable(self, name: str, metrics: Metrics) -> Metrics:
        """Those of ``metrics`` that equal runs have in common; notes the others beside the times of stage ``name``."""
        own = {key: value for key, value in metrics.items() if key.endswith(_OF_THIS_PROCESS)}
        if own:
            self.timings.append({"round": self.index, "stage": name, "metrics": encode_metrics(own)})
        return {key: value for key, value in metrics.items() if key not in own}

    def log(self, metrics: Metrics) -> None:
        """Log metrics of this round that are computed anew each time."""
        if metrics:
            self.tracker.log(metrics, round_index=self.index)
