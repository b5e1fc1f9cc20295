"""Logs that grow a line at a time (metrics, timings) and survive being killed in the middle of one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leap_exp.store.codec import decode_metrics
from leap_exp.store.files import storing
from leap_exp.store.records import SCHEMA_VERSION, check_version, parse_object


class LineLog:
    """A file of JSON lines that is continued, not repeated.

    A resumed run says again what it said before: lines that the file already has, in the same order, are not written
    twice. From the first line that differs (or was cut short by a kill) on, the file is written anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storing(path):
            self._known = path.read_bytes().splitlines(keepends=True) if path.exists() else []

    def replay(self, data: Mapping[str, object]) -> None:
        """Write ``data`` as the next line unless it stands there already."""
        line = _line(data)
        if self._known and self._known[0] == line:
            del self._known[0]
            return
        with storing(self._path), self._path.open("ab") as file:
            # What a former process wrote beyond this point does not belong to this run any more.
            file.truncate(file.tell() - sum(map(len, self._known)))
            file.write(line)
        self._known = []

    def append(self, data: Mapping[str, object]) -> None:
        """Write ``data`` behind everything that the file holds, after dropping a line that was cut short."""
        if self._known and not self._known[-1].endswith(b"\n"):
            with storing(self._path), self._path.open("ab") as file:
                file.truncate(file.tell() - len(self._known[-1]))
        self._known = []
        with storing(self._path), self._path.open("ab") as file:
            file.write(_line(data))


def _line(data: Mapping[str, object]) -> bytes:
    return (json.dumps({"schema_version": SCHEMA_VERSION, **data}, allow_nan=False) + "\n").encode()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The finished lines of the log ``path`` (none if it is missing); raises StoreError on a broken one."""
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if line.endswith(b"\n"):
            data = parse_object(path, number, line.decode())
            check_version(path, data)
            lines.append(data)
    return lines


def read_metrics(run_dir: Path) -> dict[int, dict[str, float]]:
    """The metrics of each round of the run in ``run_dir``, by round index."""
    rounds: dict[int, dict[str, float]] = {}
    for line in read_lines(run_dir / "metrics.jsonl"):
        rounds.setdefault(line["round"], {}).update(decode_metrics(line["metrics"]))
    return rounds
