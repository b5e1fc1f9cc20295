"""Record files: JSON lines under a header that says their version, their number and the stage's metrics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from leap_exp.core.errors import StoreError
from leap_exp.store.codec import Record, decode_metrics, decode_record, encode_metrics, encode_record
from leap_exp.store.files import write_whole

SCHEMA_VERSION = 1
RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecords:
    """What a record file holds, in its order."""

    records: tuple[Record, ...]
    metrics: Mapping[str, float]

    def of(self, kind: type[RecordT]) -> list[RecordT]:
        """The records of one type."""
        return [record for record in self.records if isinstance(record, kind)]


def write_records(path: Path, records: Sequence[Record], metrics: Mapping[str, float]) -> None:
    """Write ``records`` and the ``metrics`` of the stage that made them to ``path``, whole or not at all."""
    write_whole(path, _lines(records, metrics))


def _lines(records: Sequence[Record], metrics: Mapping[str, float]) -> Iterator[str]:
    header = {"schema_version": SCHEMA_VERSION, "count": len(records), "metrics": encode_metrics(metrics)}
    yield json.dumps(header, allow_nan=False)
    for record in records:
        yield json.dumps(encode_record(record), ensure_ascii=False, allow_nan=False)


def read_records(path: Path) -> StoredRecords:
    """Read the record file ``path``.

    Raises:
        StoreError: the file is missing, of an unknown version, cut short or broken; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error
    header = parse_object(path, 1, lines[0])
    check_version(path, header)
    if header.get("count") != len(lines) - 1:
        raise StoreError(f"{path} should hold {header.get('count')} records but holds {len(lines) - 1}; remove it.")
    records = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            records.append(decode_record(parse_object(path, number, line)))
        except ValueError as error:
            raise StoreError(f"{path}, line {number}: {error}; remove the file to make it again.") from error
    return StoredRecords(records=tuple(records), metrics=decode_metrics(header["metrics"]))


def parse_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """The JSON object on line ``number`` of ``path``; raises StoreError if there is none."""
    try:
        data = json.loads(line)
    except ValueError as error:
        raise StoreError(f"{path}, line {number}: not JSON ({error}); remove the file to make it again.") from error
    if not isinstance(data, dict):
        raise StoreError(f"{path}, line {number}: expected a JSON object, got {line[:60]!r}.")
    return data


def check_version(path: Path, data: Mapping[str, object]) -> None:
    """Refuse ``data`` of a file ``path`` that another version of leap_exp wrote."""
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version!r}, this leap_exp reads {SCHEMA_VERSION}; use the version that wrote "
            "it, or another run_dir."
        )
