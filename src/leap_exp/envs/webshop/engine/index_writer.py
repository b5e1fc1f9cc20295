"""Writes the search index of a catalogue, document by document, in bounded memory.

Documents are appended to flat files. At the end, terms are numbered in sorted order and the postings are sorted block
by block, so that only the vocabulary and one block are in memory at any time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.engine.analysis import terms
from leap_exp.envs.webshop.engine.search import K1, POSTING_CODES, POSTING_DOCUMENTS, B

_BLOCK_POSTINGS = 8 << 20
_FLUSH_POSTINGS = 1 << 20
_MAX_PAIRS = 1 << 16
_EXACT_LENGTHS = 24
"""Shorter lengths have one code each; of longer ones, three bits of mantissa are kept."""

_MANTISSA_BITS = 3

OnProgress = Callable[[int, int], None]


class IndexWriter:
    """Collects documents in ``folder``; ``finish`` turns them into the index that ``SearchIndex`` reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        self._sizes = array("I")
        self._total_terms = 0
        self._with_terms = 0
        self._term_buffer, self._code_buffer = array("I"), array("H")
        self._flat_terms = folder / "flat_terms.tmp"
        self._flat_codes = folder / "flat_codes.tmp"

    def add(self, text: str) -> None:
        """Add the next document.

        Raises:
            DataError: There are more pairs of frequency and length than a 16-bit code can number.
        """
        counts = Counter(terms(text))
        length = counts.total()
        code = encode_length(length)
        for term, count in counts.items():
            self._term_buffer.append(self._numbers.setdefault(term, len(self._numbers)))
            self._code_buffer.append(self._pair(count, code))
        self._sizes.append(len(counts))
        self._total_terms += length
        self._with_terms += length > 0
        if len(self._term_buffer) >= _FLUSH_POSTINGS:
            self._flush()

    def finish(self, on_progress: OnProgress) -> None:
        """Write the index; ``on_progress`` is called with the numbers of finished and of all postings."""
        self._flush()
        vocabulary = sorted(self._numbers, key=lambda term: term.encode("utf-8", "surrogatepass"))
        renumbered = np.empty(len(vocabulary), dtype=np.uint32)
        for number, term in enumerate(vocabulary):
            renumbered[self._numbers[term]] = number
        self._write_terms(vocabulary)
        self._numbers.clear()
        starts = self._posting_starts(renumbered)
        np.save(self._folder / "posting_starts.npy", starts)
        np.save(self._folder / "documents_with_terms.npy", self._with_terms)
        self._write_postings(renumbered, starts, on_progress)
        self._flat_terms.unlink()
        self._flat_codes.unlink()

    def _pair(self, count: int, length_code: int) -> int:
        number = self._pairs.setdefault((count, length_code), len(self._pairs))
        if number >= _MAX_PAIRS:
            raise DataError(
                f"The texts have more than {_MAX_PAIRS} pairs of term frequency and length: use fewer products."
            )
        return number

    def _flush(self) -> None:
        for path, buffer in ((self._flat_terms, self._term_buffer), (self._flat_codes, self._code_buffer)):
            with path.open("ab") as file:
                buffer.tofile(file)
            del buffer[:]

    def _write_terms(self, vocabulary: list[str]) -> None:
        starts = np.zeros(len(vocabulary) + 1, dtype=np.int64)
        with (self._folder / "terms.bin").open("wb") as file:
            for number, term in enumerate(vocabulary):
                starts[number + 1] = starts[number] + file.write(term.encode("utf-8", "surrogatepass"))
        np.save(self._folder / "term_starts.npy", starts)

    def _posting_starts(self, renumbered: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return where each term's postings start, followed by the end of the last ones."""
        frequencies = np.zeros(len(renumbered), dtype=np.int64)
        with self._flat_terms.open("rb") as file:
            while len(block := np.fromfile(file, dtype=np.uint32, count=_BLOCK_POSTINGS)):
                frequencies += np.bincount(renumbered[block], minlength=len(renumbered))
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(frequencies)])

    def _divisors(self) -> NDArray[np.float32]:
        """Return 1 + tf * norm of every pair."""
        average = np.float32(self._total_terms / max(1, self._with_terms))
        pairs = np.array(list(self._pairs), dtype=np.int64).reshape(-1, 2)
        norms = _length_norms(pairs[:, 1], average)
        divisors: NDArray[np.float32] = np.float32(1) + pairs[:, 0].astype(np.float32) * norms
        return divisors

    def _write_postings(
        self, renumbered: NDArray[np.uint32], starts: NDArray[np.int64], on_progress: OnProgress
    ) -> None:
        divisors = self._divisors()
        np.save(self._folder / "divisors.npy", divisors)
        largest = np.ones(len(renumbered), dtype=np.float32)
        total, done = int(starts[-1]), 0
        documents = _new_array(self._folder / "posting_documents.bin", POSTING_DOCUMENTS, total)
        codes = _new_array(self._folder / "posting_codes.bin", POSTING_CODES, total)
        owners = np.repeat(np.arange(len(self._sizes), dtype=np.uint32), np.array(self._sizes, dtype=np.int64))
        next_places = starts[:-1].copy()
        with self._flat_terms.open("rb") as flat_terms, self._flat_codes.open("rb") as flat_codes:
            while len(block := np.fromfile(flat_terms, dtype=np.uint32, count=_BLOCK_POSTINGS)):
                numbers = renumbered[block]
                order = np.argsort(numbers, kind="stable")
                numbers = numbers[order]
                block_codes = np.fromfile(flat_codes, dtype=np.uint16, count=_BLOCK_POSTINGS)[order]
                firsts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] ^ 1))
                present = numbers[firsts]
                runs = np.diff(firsts, append=len(numbers))
                places = np.arange(len(numbers)) + np.repeat(next_places[present] - firsts, runs)
                documents[places] = owners[done : done + len(block)][order]
                codes[places] = block_codes
                largest[present] = np.maximum(largest[present], np.maximum.reduceat(divisors[block_codes], firsts))
                next_places[present] += runs
                done += len(block)
                on_progress(done, total)
        np.save(self._folder / "largest_divisors.npy", largest)


def encode_length(length: int) -> int:
    """Return Lucene's one-byte code of a document length in terms (``SmallFloat.intToByte4``)."""
    if length < _EXACT_LENGTHS:
        return length
    rest = length - _EXACT_LENGTHS
    shift = rest.bit_length() - _MANTISSA_BITS - 1
    if shift < 0:
        return _EXACT_LENGTHS + rest
    mantissa = (rest >> shift) & ((1 << _MANTISSA_BITS) - 1)
    return _EXACT_LENGTHS + (mantissa | (shift + 1) << _MANTISSA_BITS)


def decode_length(code: int) -> int:
    """Return the smallest length that has ``code``."""
    if code < _EXACT_LENGTHS:
        return code
    bits = code - _EXACT_LENGTHS
    shift = (bits >> _MANTISSA_BITS) - 1
    mantissa = bits & ((1 << _MANTISSA_BITS) - 1)
    return _EXACT_LENGTHS + (mantissa if shift < 0 else (mantissa | 1 << _MANTISSA_BITS) << shift)


def _length_norms(codes: NDArray[np.int64], average: np.float32) -> NDArray[np.float32]:
    """Return BM25's factors of term frequencies in documents whose lengths have ``codes``, in float32 like Lucene."""
    lengths = np.array([decode_length(int(code)) for code in codes], dtype=np.float32)
    k1, b, one = np.float32(K1), np.float32(B), np.float32(1)
    norms: NDArray[np.float32] = one / (k1 * ((one - b) + b * lengths / average))
    return norms


def _new_array(path: Path, dtype: np.dtype[np.unsignedinteger], length: int) -> NDArray[np.unsignedinteger]:
    """Create an array of zeros on disk."""
    path.touch()
    return np.memmap(path, dtype=dtype, mode="r+", shape=(length,)) if length else np.empty(0, dtype=dtype)
