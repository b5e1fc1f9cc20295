"""Reads a large JSON list or object entry by entry, from a plain or a gzipped file."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TextIO, cast

from leap_exp.core.errors import DataError

_CHUNK = 4 << 20
_MAX_NUMBER = 32
_MAX_ENTRY = 256 << 20
"""Maximum characters of an entry. A longer one means that the file is broken where the entry starts."""

OnProgress = Callable[[int, int], None]


def list_entries(path: Path, on_progress: OnProgress | None = None) -> Iterator[object]:
    """Yield the elements of the list in ``path``; ``on_progress`` is called with bytes read and total bytes.

    Raises:
        DataError: The file is missing, is not a JSON list, or ends before the list does.
    """
    for _, value in _entries(path, "[", "]", on_progress):
        yield value


def object_entries(path: Path, on_progress: OnProgress | None = None) -> Iterator[tuple[str, object]]:
    """Yield the keys and values of the object in ``path``, in order.

    Raises:
        DataError: The file is missing, is not a JSON object, or ends before the object does.
    """
    return _entries(path, "{", "}", on_progress)


def _entries(path: Path, opening: str, closing: str, on_progress: OnProgress | None) -> Iterator[tuple[str, object]]:
    try:
        with path.open("rb") as raw:
            unpacked = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            with io.TextIOWrapper(unpacked, encoding="utf-8") as text:
                yield from _Reader(path, text, raw, on_progress).entries(opening, closing)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}: download it again.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read to its end ({error}): download it again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}): download it again.") from error


class _Reader:
    """A window on the text that moves forward as entries are read."""

    def __init__(self, path: Path, text: TextIO, raw: IO[bytes], on_progress: OnProgress | None) -> None:
        self._path, self._text, self._raw, self._on_progress = path, text, raw, on_progress
        self._size = path.stat().st_size
        self._decoder = json.JSONDecoder()
        self._window, self._position, self._ended, self._count = "", 0, False, 0

    def entries(self, opening: str, closing: str) -> Iterator[tuple[str, object]]:
        if self._next() != opening:
            kind = "list" if opening == "[" else "object"
            raise DataError(f"{self._path} is not a JSON {kind}: it starts with {self._window[:20]!r}.")
        self._position += 1
        while self._next() != closing:
            if self._count:
                self._expect(",")
            key = ""
            if opening == "{":
                key = str(self._value())
                self._expect(":")
            yield key, self._value()
            self._count += 1
        self._position += 1
        if rest := self._next():
            raise DataError(f"{self._path} continues with {rest!r} after the end of its JSON: download it again.")

    def _next(self) -> str:
        """Return the next character that is not white space; empty at the end of the text."""
        while True:
            while self._position < len(self._window):
                if not self._window[self._position].isspace():
                    return self._window[self._position]
                self._position += 1
            if self._ended:
                return ""
            self._read()

    def _expect(self, character: str) -> None:
        if (found := self._next()) != character:
            raise self._broken(f"expected {character!r}, found {found!r}" if found else "it ends here")
        self._position += 1

    def _value(self) -> object:
        if not self._next():
            raise self._broken("it ends here")
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._position)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise self._broken(f"{error.msg}, or it ends here") from error
            else:
                # A number near the end of the window may continue after it.
                if end + _MAX_NUMBER <= len(self._window) or self._ended:
                    self._position = end
                    return cast("object", value)
            if len(self._window) - self._position > _MAX_ENTRY:
                raise self._broken("the next entry is too long")
            self._read()

    def _read(self) -> None:
        fresh = self._text.read(_CHUNK)
        self._ended = not fresh
        self._window, self._position = self._window[self._position :] + fresh, 0
        if self._on_progress:
            self._on_progress(min(self._raw.tell(), self._size), self._size)

    def _broken(self, what: str) -> DataError:
        return DataError(f"{self._path} is broken or truncated after entry {self._count} ({what}): download it again.")
