"""Reads the file of an offline W&B run: LevelDB log blocks with protobuf records."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32 * 1024
FILE_HEADER, ENTRY_HEADER = 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_wandb_records(path: Path) -> Iterator[Record]:
    """Yield the records in ``path``, up to where it is cut short."""
    data, place, pieces = path.read_bytes(), FILE_HEADER, b""
    while place + ENTRY_HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < ENTRY_HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if kind not in (FULL, FIRST, MIDDLE, LAST):
            return
        piece = data[place + ENTRY_HEADER : place + ENTRY_HEADER + length]
        place += ENTRY_HEADER + length
        pieces = piece if kind in (FULL, FIRST) else pieces + piece
        if kind in (FULL, LAST) and len(piece) == length:
            yield Record.FromString(pieces)


def records_to_the_end(path: Path) -> list[Record]:
    """Return the records in ``path``, after waiting for W&B's process to write the last one."""
    deadline = time.monotonic() + 20
    while True:
        records = list(read_wandb_records(path))
        if time.monotonic() > deadline or any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.1)


class OfflineRun:
    """Everything logged in the offline files of a run folder, by all processes."""

    def __init__(self, run_dir: Path) -> None:
        self.history: list[dict[str, Any]] = []
        self.artifacts: list[Any] = []
        self.runs: list[Any] = []
        self.metrics: list[Any] = []
        self.exit_codes: list[int] = []
        self.files = sorted((run_dir / "wandb").glob("offline-run-*/run-*.wandb"))
        for file in self.files:
            for record in records_to_the_end(file):
                self._add(record)

    def _add(self, record: Record) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = record.history.item
            self.history.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        elif kind == "run":
            self.runs.append(record.run)
        elif kind == "metric":
            self.metrics.append(record.metric)
        elif kind == "artifact":
            self.artifacts.append(record.artifact)
        elif kind == "request" and record.request.HasField("log_artifact"):
            self.artifacts.append(record.request.log_artifact.artifact)
        elif kind == "exit":
            self.exit_codes.append(record.exit.exit_code)
