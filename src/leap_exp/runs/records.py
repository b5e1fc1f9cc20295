"""Record files: JSON lines below a header with the schema version, the number of records and the stage's metrics.

The decoder is our own because pydantic's TypeAdapter accepts a line without a field that has a default, while a record
file must be refused when any field is missing, except those that were added later.
"""

import dataclasses
import json
import tempfile
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from leap_exp.core.errors import DataError, StoreError
from leap_exp.core.sequences import LazySequence, Selected
from leap_exp.core.text import valid_text
from leap_exp.core.types import Correction, CorrectionFailure, Example, PrivilegedFacts, Trajectory
from leap_exp.runs.documents import (
    SCHEMA_VERSION,
    check_version,
    decode_metrics,
    encode_metrics,
    json_form,
    parse_object,
)
from leap_exp.runs.files import storing, write_whole

Record = Trajectory | Correction | CorrectionFailure | Example | PrivilegedFacts
"""What a line of a record file can hold."""

RecordT = TypeVar("RecordT", bound=Record)

_TYPES: Mapping[str, type] = {
    "trajectory": Trajectory,
    "correction": Correction,
    "correction_failure": CorrectionFailure,
    "example": Example,
    "privileged_facts": PrivilegedFacts,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


class RecordFile(LazySequence[Record]):
    """The records in a file. Each is read from the file when it is used, so that none is held in memory.

    Args:
        path: The file.
        offsets: Where each record begins in it, and where the last one ends, in bytes.
    """

    def __init__(self, path: Path, offsets: Sequence[int]) -> None:
        self._path = path
        self._offsets = offsets

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._offsets) - 1

    def item(self, place: int) -> Record:
        """Read the record at ``place``."""
        start, end = self._offsets[place : place + 2]
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                line = file.read(end - start)
        except OSError as error:
            raise StoreError(f"Cannot read {self._path}: {error}.") from error
        return _decode_line(self._path, place + 2, line)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecords:
    """The content of a record file, in its order.

    Attributes:
        records: The records; see ``RecordFile``.
        kinds: The type of each record.
        metrics: The metrics of the stage that made them.
    """

    records: Sequence[Record]
    kinds: Sequence[type]
    metrics: Mapping[str, float]

    def of(self, kind: type[RecordT]) -> Sequence[RecordT]:
        """Return the records of one type."""
        places = [place for place, each in enumerate(self.kinds) if each is kind]
        return typing.cast("Sequence[RecordT]", Selected.of(self.records, places))


class RecordSpool(LazySequence[RecordT]):
    """Records on disk that come in any order and are read in the order of their places.

    A stage puts each record here when it is finished, so that memory does not grow with the finished ones. The file has
    no name, so that nothing is left of it when the process ends.

    Args:
        folder: A folder of the file system to use.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with storing(folder):
            # Closed when the spool is no longer used.
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._spans: dict[int, tuple[int, int]] = {}
        self._order: list[int] | None = []

    def put(self, place: int, record: RecordT) -> None:
        """Write ``record``, which comes after those with a lower ``place``."""
        line = _record_line(record).encode()
        with storing(self._folder):
            start = self._file.seek(0, 2)
            self._file.write(line)
        self._spans[place] = (start, len(line))
        self._order = None

    def append(self, record: RecordT) -> None:
        """Write ``record`` after the others."""
        place = max(self._spans, default=-1) + 1
        self.put(place, record)

    def __len__(self) -> int:
        """Return the number of records so far."""
        return len(self._spans)

    def item(self, place: int) -> RecordT:
        """Read the record at ``place``."""
        return typing.cast("RecordT", _decode_line(self._folder, place, self._line(place)))

    def lines(self) -> Iterator[str]:
        """Return the lines of the record file with these records, without its header."""
        return (self._line(place).decode() for place in range(len(self)))

    def _line(self, index: int) -> bytes:
        if self._order is None:
            self._order = sorted(self._spans)
        start, length = self._spans[self._order[index]]
        with storing(self._folder):
            self._file.seek(start)
            return self._file.read(length)


def write_records(path: Path, records: Sequence[Record], metrics: Mapping[str, float]) -> None:
    """Write ``records``, and the ``metrics`` of the stage that made them, to ``path`` atomically.

    Lone surrogates are replaced, so that a text from a model or an environment never costs the stage its records.
    """
    write_whole(path, _lines(records, metrics))


def _lines(records: Sequence[Record], metrics: Mapping[str, float]) -> Iterator[str]:
    header = {"schema_version": SCHEMA_VERSION, "count": len(records), "metrics": encode_metrics(metrics)}
    yield json.dumps(header, allow_nan=False)
    yield from records.lines() if isinstance(records, RecordSpool) else map(_record_line, records)


def _record_line(record: Record) -> str:
    line = {"record": _NAMES[type(record)], **typing.cast("dict[str, object]", json_form(record))}
    return valid_text(json.dumps(line, ensure_ascii=False, allow_nan=False, default=json_form))


def read_records(path: Path) -> StoredRecords:
    """Read the record file ``path`` and check every record in it.

    Raises:
        StoreError: The file is missing, cut short, broken, or of another schema version. The message names the line.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
            header = parse_object(path, 1, _text(path, first))
            check_version(path, header)
            offsets, kinds, problem = [len(first)], [], None
            for number, line in enumerate(file, start=2):
                offsets.append(offsets[-1] + len(line))
                try:
                    kinds.append(type(_decode_line(path, number, line)))
                except StoreError as error:
                    problem = problem or error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error
    if header.get("count") != len(offsets) - 1:
        raise StoreError(
            f"{path} should hold {header.get('count')} records but holds {len(offsets) - 1}; delete the file to create "
            "it again."
        )
    if problem is not None:
        raise problem
    metrics = decode_metrics(header["metrics"])
    return StoredRecords(records=RecordFile(path, offsets), kinds=kinds, metrics=metrics)


def _text(path: Path, line: bytes) -> str:
    try:
        return line.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error


def _decode_line(path: Path, number: int, line: bytes) -> Record:
    """Return the record in line ``number`` of ``path``; raises StoreError if there is none."""
    try:
        return _decode_record(parse_object(path, number, _text(path, line)))
    except ValueError as error:
        raise StoreError(
            f"{path}, line {number}: {str(error).rstrip('.')}; delete the file to create it again."
        ) from error


def _decode_record(fields: dict[str, object]) -> Record:
    name = fields.pop("record", None)
    if not isinstance(name, str) or name not in _TYPES:
        raise DataError(f"unknown record {name!r}, expected one of: {', '.join(sorted(_TYPES))}")
    return typing.cast("Record", _decoder(_TYPES[name])(fields))


@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - type hints have no narrower type
    """Return the function that converts JSON data to the type ``hint`` and raises DataError if it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType and len(arguments) == 2 and arguments[1] is types.NoneType:
        inner = _decoder(arguments[0])
        return lambda data: None if data is None else inner(data)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        item = _decoder(arguments[0])
        return lambda data: tuple(item(part) for part in _expect(data, list))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda data: _expect(data, dict)
    if dataclasses.is_dataclass(hint):
        return _dataclass_decoder(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda data: hint(_expect(data, str))
    if hint is float:
        return lambda data: float(_expect(data, float, int))
    if hint in (str, int, bool):
        return lambda data: _expect(data, hint)
    raise TypeError(f"Records cannot have fields of type {hint!r}; extend {__name__}.")


def _dataclass_decoder(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - a class known only at run time
    hints = typing.get_type_hints(kind)
    decoders = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(kind)}
    added = {field.name for field in dataclasses.fields(kind) if field.metadata.get("omitted_if_default")}

    def decode(data: Any) -> Any:  # noqa: ANN401 - JSON data
        fields = _expect(data, dict)
        if wrong := (fields.keys() ^ decoders.keys()) - (added - fields.keys()):
            raise DataError(f"{kind.__name__} has missing or unknown fields: {', '.join(sorted(wrong))}")
        return kind(**{name: decoders[name](data) for name, data in fields.items()})

    return decode


def _expect(data: Any, *kinds: type) -> Any:  # noqa: ANN401 - JSON data
    # type() rather than isinstance(), because true and false must not pass as numbers.
    if type(data) not in kinds:
        raise DataError(f"expected {' or '.join(kind.__name__ for kind in kinds)}, got {data!r}")
    return data
