"""The journal of a run. Every stage of every round runs once; the file it leaves marks it as done."""

import os
import shutil
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from leap_exp.core.protocols import ProgressCallback, Tracker
from leap_exp.core.seeding import derive_seed
from leap_exp.runs.documents import LineLog, decode_metrics, encode_metrics, read_document, write_document
from leap_exp.runs.files import locked, storing
from leap_exp.runs.records import Record, RecordSpool, StoredRecords, read_records, write_records

Metrics = Mapping[str, float]
_VARYING = ("_seconds", "_per_second", "/paid_dollars", "/cache_hits_count", "/retries_count")
"""Suffixes of metrics that differ between equal runs. They go to timings.jsonl instead of metrics.jsonl."""


def round_name(index: int) -> str:
    """Return the name of a round's folder."""
    return f"round_{index:03d}"


class Progress(Protocol):
    """Shows how far a run is."""

    @abstractmethod
    def stage(self, name: str, *, round_index: int) -> AbstractContextManager[ProgressCallback]:
        """Announce a stage of a round; the callback reports progress while the context is open."""


class Journal:
    """A run folder, with the tracker and the progress display of the run.

    Args:
        round_0_seed: The seed of round 0. It differs from ``seed`` if several runs share that round.
        on_round: Called with the index of each round after its entry is in summary.json.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        seed: int,
        round_0_seed: int,
        tracker: Tracker,
        progress: Progress,
        on_round: Callable[[int], None] | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.tracker = tracker
        self._seed = seed
        self._round_0_seed = round_0_seed
        self._progress = progress
        self._on_round = on_round
        self._timings = LineLog(run_dir / "timings.jsonl")

    @contextmanager
    def round(self, index: int) -> Iterator["RoundJournal"]:
        """Open the journal of a round. If several runs share the round's folder, one at a time works on it."""
        path = self.run_dir / round_name(index)
        with storing(path):
            path.resolve().mkdir(parents=True, exist_ok=True)
        with locked(path, wait=True) if path.is_symlink() else nullcontext():
            yield RoundJournal(
                path=path,
                index=index,
                seed=self._round_0_seed if index == 0 else self._seed,
                tracker=self.tracker,
                progress=self._progress,
                timings=self._timings,
            )

    def summarise(self, rounds: Sequence[Mapping[str, object]]) -> None:
        """Write summary.json with one entry per finished round."""
        write_document(self.run_dir / "summary.json", {"rounds": rounds})
        if self._on_round is not None:
            self._on_round(len(rounds) - 1)


def _core_seconds() -> float:
    """Return the processor time of this process and of the processes that it has started and that have ended."""
    return sum(os.times()[:4])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundJournal:
    """The stages of one round.

    The result of a stage is always read back from its file, so that a resumed run continues from exactly the values of
    an uninterrupted one. Its metrics are logged at that point, also if the stage ran in an earlier process.
    """

    path: Path
    index: int
    seed: int
    tracker: Tracker
    progress: Progress
    timings: LineLog

    def seed_for(self, stage: str) -> int:
        """Return the seed of the stage called ``stage`` in this round."""
        return derive_seed(self.seed, "round", self.index, stage)

    def spool(self) -> RecordSpool[Any]:
        """Return a place on disk for the records of a stage that come one by one, to be returned by its ``produce``."""
        return RecordSpool(self.path)

    def records(
        self, name: str, produce: Callable[[ProgressCallback], tuple[Sequence[Record], Metrics]]
    ) -> StoredRecords:
        """Return the records in NAME.jsonl, after calling ``produce`` to make them if the file does not exist."""
        path = self.path / f"{name}.jsonl"
        if not path.exists():
            with self._timed(name) as on_progress:
                records, metrics = produce(on_progress)
            write_records(path, records, self._repeatable(name, metrics))
        stored = read_records(path)
        self.log(stored.metrics)
        return stored

    def document(self, name: str, produce: Callable[[ProgressCallback], Mapping[str, object]]) -> dict[str, Any]:
        """Return the document in NAME.json, after calling ``produce`` to make it if the file does not exist."""
        path = self.path / f"{name}.json"
        if not path.exists():
            with self._timed(name) as on_progress:
                data = produce(on_progress)
            write_document(path, data)
        return read_document(path)

    def folder(self, name: str, produce: Callable[[Path, ProgressCallback], Metrics]) -> Path:
        """Return the folder NAME, after calling ``produce`` to fill it if it does not exist."""
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

    def log(self, metrics: Metrics) -> None:
        """Log metrics of this round."""
        if metrics:
            self.tracker.log(metrics, round_index=self.index)

    @contextmanager
    def _timed(self, name: str) -> Iterator[ProgressCallback]:
        start, core_start = time.monotonic(), _core_seconds()
        with self.progress.stage(name, round_index=self.index) as on_progress:
            yield on_progress
        seconds, core_seconds = time.monotonic() - start, _core_seconds() - core_start
        used = {"seconds": round(seconds, 3), "core_seconds": round(core_seconds, 2)}
        self.timings.append({"round": self.index, "stage": name, **used})

    def _repeatable(self, name: str, metrics: Metrics) -> Metrics:
        """Return the metrics that are the same in equal runs; write the others to timings.jsonl."""
        varying = {key: value for key, value in metrics.items() if key.endswith(_VARYING)}
        if varying:
            self.timings.append({"round": self.index, "stage": name, "metrics": encode_metrics(varying)})
        return {key: value for key, value in metrics.items() if key not in varying}
