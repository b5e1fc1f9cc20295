"""Record files: JSON lines below a header with the schema version, the number of records and the stage's metrics.

The decoder is our own because pydantic's TypeAdapter accepts a line without a field that has a default, while a record
file must be refused when any field is missing, except those that were added later.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from leap_exp.core.errors import DataError, StoreError
from leap_exp.core.text import valid_text
from leap_exp.core.types import Correction, CorrectionFailure, Example, PrivilegedFacts, Trajectory
from leap_exp.runs.documents import (
    SCHEMA_VERSION,
    check_version,
    decode_metrics,
    encode_metrics,
    json_form,
    parse_object,
    read_text,
)
from leap_exp.runs.files import write_whole

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecords:
    """The content of a record file, in its order."""

    records: tuple[Record, ...]
    metrics: Mapping[str, float]

    def of(self, kind: type[RecordT]) -> list[RecordT]:
        """Return the records of one type."""
        return [record for record in self.records if isinstance(record, kind)]


def write_records(path: Path, records: Sequence[Record], metrics: Mapping[str, float]) -> None:
    """Write ``records``, and the ``metrics`` of the stage that made them, to ``path`` atomically.

    Lone surrogates are replaced, so that a text from a model or an environment never costs the stage its records.
    """
    write_whole(path, _lines(records, metrics))


def _lines(records: Sequence[Record], metrics: Mapping[str, float]) -> Iterator[str]:
    header = {"schema_version": SCHEMA_VERSION, "count": len(records), "metrics": encode_metrics(metrics)}
    yield json.dumps(header, allow_nan=False)
    for record in records:
        line = {"record": _NAMES[type(record)], **typing.cast("dict[str, object]", json_form(record))}
        yield valid_text(json.dumps(line, ensure_ascii=False, allow_nan=False, default=json_form))


def read_records(path: Path) -> StoredRecords:
    """Read the record file ``path``.

    Raises:
        StoreError: The file is missing, cut short, broken, or of another schema version. The message names the line.
    """
    lines = read_text(path).removesuffix("\n").split("\n")
    header = parse_object(path, 1, lines[0])
    check_version(path, header)
    if header.get("count") != len(lines) - 1:
        raise StoreError(
            f"{path} should hold {header.get('count')} records but holds {len(lines) - 1}; delete the file to create "
            "it again."
        )
    records = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            records.append(_decode_record(parse_object(path, number, line)))
        except ValueError as error:
            raise StoreError(
                f"{path}, line {number}: {str(error).rstrip('.')}; delete the file to create it again."
            ) from error
    return StoredRecords(records=tuple(records), metrics=decode_metrics(header["metrics"]))


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
