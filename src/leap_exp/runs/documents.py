"""The JSON files of a run folder that hold no records: documents, logs and metrics; and its configuration."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from leap_exp.core.errors import DataError, StoreError
from leap_exp.runs.files import storing, write_whole

SCHEMA_VERSION = 1

TRAIN_LOG = "train_log.jsonl"
"""In the folder of a trained student: a line per optimizer step."""

RENAMED_SETTINGS = {("trainer", "mistakes"): "max_changed_steps"}
"""Settings in config.yaml that had another name in older versions: (group, old name) to new name."""


def write_document(path: Path, data: Mapping[str, object]) -> None:
    """Write ``data`` to ``path`` atomically as one JSON document with a schema version."""
    document = {"schema_version": SCHEMA_VERSION, **data}
    write_whole(path, [json.dumps(document, indent=2, ensure_ascii=False, default=json_form)])


def read_document(path: Path) -> dict[str, Any]:
    """Return the data that ``write_document`` wrote to ``path``; raises StoreError if it cannot be read."""
    data = parse_object(path, 1, read_text(path))
    check_version(path, data)
    del data["schema_version"]
    return data


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration in the YAML file ``path``, under the present names of its settings.

    Raises:
        StoreError: The file cannot be read or holds no configuration.
    """
    try:
        data = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise StoreError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise StoreError(f"{path} holds no configuration.")
    for (group, old), new in RENAMED_SETTINGS.items():
        if old in (data.get(group) or {}):
            data[group] = {new if name == old else name: value for name, value in data[group].items()}
    return data


class LineLog:
    """A log of JSON lines that a resumed run continues without repeating itself.

    A resumed run logs everything again from the start. Lines that the file already holds, in the same order, are not
    written twice. From the first line that differs or was cut short, the file is rewritten.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storing(path):
            self._known = path.read_bytes().splitlines(keepends=True) if path.exists() else []

    def replay(self, data: Mapping[str, object]) -> None:
        """Write ``data`` as the next line unless it is there already."""
        line = _line(data)
        if self._known and self._known[0] == line:
            del self._known[0]
            return
        with storing(self._path), self._path.open("ab") as file:
            # Drop what an earlier process wrote after this point.
            file.truncate(file.tell() - sum(map(len, self._known)))
            file.write(line)
        self._known = []

    def append(self, data: Mapping[str, object]) -> None:
        """Write ``data`` at the end of the file, after removing a last line that was cut short."""
        with storing(self._path), self._path.open("ab") as file:
            if self._known and not self._known[-1].endswith(b"\n"):
                file.truncate(file.tell() - len(self._known[-1]))
            file.write(_line(data))
        self._known = []


def _line(data: Mapping[str, object]) -> bytes:
    return (json.dumps({"schema_version": SCHEMA_VERSION, **data}, allow_nan=False) + "\n").encode()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of the log ``path`` (none if it is missing); raises StoreError on a broken one."""
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
    """Return the metrics of each round of the run in ``run_dir``, by round index."""
    rounds: dict[int, dict[str, float]] = {}
    for line in read_lines(run_dir / "metrics.jsonl"):
        rounds.setdefault(line["round"], {}).update(decode_metrics(line["metrics"]))
    return rounds


def encode_metrics(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return ``metrics`` as JSON data. NaN and infinities, which JSON does not have, become null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def decode_metrics(data: Mapping[str, float | None]) -> dict[str, float]:
    """Return the metrics in data made by ``encode_metrics``."""
    return {name: math.nan if value is None else value for name, value in data.items()}


def json_form(value: object) -> object:
    """Return ``value``, which ``json`` cannot write, in a form that it can; raises DataError for other types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: content
            for field in dataclasses.fields(value)
            if not (
                (content := getattr(value, field.name)) == field.default and field.metadata.get("omitted_if_default")
            )
        }
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise DataError(f"Cannot store a value of type {type(value).__name__}: {value!r}.")


def read_text(path: Path) -> str:
    """Return the text of the file ``path``; raises StoreError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error


def parse_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """Return the JSON object on line ``number`` of ``path``; raises StoreError if there is none."""
    try:
        data = json.loads(line)
    except ValueError as error:
        raise StoreError(f"{path}, line {number}: not JSON ({error}); delete the file to create it again.") from error
    if not isinstance(data, dict):
        raise StoreError(f"{path}, line {number}: expected a JSON object, got {line[:60]!r}.")
    return data


def check_version(path: Path, data: Mapping[str, object]) -> None:
    """Raise StoreError if ``data``, read from ``path``, has another schema version."""
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version!r}, but this version of leap_exp reads {SCHEMA_VERSION}. Use the "
            "version that wrote it, or choose another run_dir."
        )
