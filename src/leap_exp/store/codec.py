"""Records to JSON and back, checked against the records' own type hints."""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from leap_exp.core.errors import DataError
from leap_exp.core.types import Correction, CorrectionFailure, Example, PrivilegedFacts, Trajectory

Record = Trajectory | Correction | CorrectionFailure | Example | PrivilegedFacts
"""What a line of a record file can hold."""

RECORD_NAMES: Mapping[type[Record], str] = {
    Trajectory: "trajectory",
    Correction: "correction",
    CorrectionFailure: "correction_failure",
    Example: "example",
    PrivilegedFacts: "privileged_facts",
}
_TYPES: Mapping[str, type] = {name: kind for kind, name in RECORD_NAMES.items()}


def encode_record(record: Record) -> dict[str, object]:
    """The JSON object of a record; its first key, ``record``, names its type."""
    fields = encode(record)
    assert isinstance(fields, dict)  # noqa: S101 - a dataclass encodes to an object
    return {"record": RECORD_NAMES[type(record)], **fields}


def decode_record(line: Mapping[str, object]) -> Record:
    """The record of a JSON object made by ``encode_record``; raises DataError on anything else."""
    fields = dict(line)
    name = fields.pop("record", None)
    if not isinstance(name, str) or name not in _TYPES:
        raise DataError(f"unknown record {name!r}, expected one of: {', '.join(sorted(_TYPES))}")
    return typing.cast("Record", _decoder(_TYPES[name])(fields))


def encode(value: object) -> object:
    """``value`` as JSON data: dataclasses become objects, tuples lists, string enums strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(typing.cast("list[str]", [encode(item) for item in value]))
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise DataError(f"a {type(value).__name__} cannot be stored: {value!r}")


def encode_metrics(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics as JSON data: JSON has no NaN and no infinity, so they become null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def decode_metrics(data: Mapping[str, float | None]) -> dict[str, float]:
    """Metrics of JSON data made by ``encode_metrics``."""
    return {name: math.nan if value is None else value for name, value in data.items()}


@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - a type hint has no narrower type
    """The function that turns JSON data into a value of the type ``hint``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType and len(arguments) == 2 and arguments[1] is types.NoneType:
        inner = _decoder(arguments[0])
        return lambda data: None if data is None else inner(data)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        item = _decoder(arguments[0])
        return lambda data: tuple(item(part) for part in _expect(data, list))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda data: _expect(data, dict)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_decoder(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda data: hint(_expect(data, str))
    if hint is float:
        return lambda data: float(_expect(data, float, int))
    if hint in (str, int, bool):
        return lambda data: _expect(data, hint)
    raise TypeError(f"No way to store a field of type {hint!r}; teach it to {__name__}.")


def _dataclass_decoder(kind: type) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    decoders = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(kind)}

    def decode(data: Any) -> Any:  # noqa: ANN401 - JSON data in, a record of a type known only at run time out
        fields = _expect(data, dict)
        if fields.keys() != decoders.keys():
            odd = sorted(fields.keys() ^ decoders.keys())
            raise DataError(f"{kind.__name__} has missing or unknown fields: {', '.join(odd)}")
        return kind(**{name: decoder(fields[name]) for name, decoder in decoders.items()})

    return decode


def _expect(data: Any, *kinds: type) -> Any:  # noqa: ANN401 - JSON data
    # type(), not isinstance: true and false are no numbers here.
    if type(data) not in kinds:
        raise DataError(f"expected {' or '.join(kind.__name__ for kind in kinds)}, got {data!r}")
    return data
