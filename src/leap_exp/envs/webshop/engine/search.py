"""BM25 search over an index on disk, with the scores of Lucene and the order of pyserini.

A document's score is the sum over the query's terms of w - w / (1 + tf * norm) with w = qtf * ln(1 + (N - df + 0.5) /
(df + 0.5)). As in Lucene, the score of a term is a float32, and the sum is rounded to a float32. Documents with equal
scores are sorted by their ids, as in pyserini.

The postings of a term are two parallel arrays: ascending document numbers, and codes of (frequency, length) pairs. A
small table maps the codes to 1 + tf * norm. A posting takes six bytes, and only those of the query's terms are read.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leap_exp.envs.webshop.engine.analysis import terms

K1, B = 0.9, 0.4
"""The defaults of pyserini."""

POSTING_DOCUMENTS, POSTING_CODES = np.dtype("<u4"), np.dtype("<u2")

_CACHED_TERMS = 1 << 14
_MAPPED_BYTES = 96 << 20
"""After reading this much of the postings, a process releases their pages; they stay in the system's cache."""

_SLACK = 1 - 1e-6
"""Allows for more than the rounding to float32, so that documents that tie after it are kept."""

_ANY_SCORE = sys.float_info.min
"""Less than any term's score."""


class _Posting(NamedTuple):
    """The scores of a query's term: ``term_scores[codes]`` for each of ``documents``, at most ``bound``."""

    documents: NDArray[np.uint32]
    codes: NDArray[np.uint16]
    term_scores: NDArray[np.float32]
    bound: float


class SearchIndex:
    """A read-only index that threads can share; processes share its pages in memory.

    Args:
        folder: The folder that ``IndexWriter.finish`` wrote.
        tie_order: For each document, the position of its id among all ids in ascending order.
    """

    def __init__(self, folder: Path, tie_order: NDArray[np.int32]) -> None:
        self._tie_order = tie_order
        self._documents = _Mapped(folder / "posting_documents.bin", POSTING_DOCUMENTS)
        self._codes = _Mapped(folder / "posting_codes.bin", POSTING_CODES)
        self._starts = np.load(folder / "posting_starts.npy", mmap_mode="r")
        self._divisors: NDArray[np.float32] = np.load(folder / "divisors.npy")
        self._largest_divisors = np.load(folder / "largest_divisors.npy", mmap_mode="r")
        self._with_terms = int(np.load(folder / "documents_with_terms.npy"))
        self._table = _TermTable(folder)

    def search(self, text: str, limit: int) -> NDArray[np.uint32]:
        """Return the numbers of the documents that fit ``text`` best, at most ``limit``, best first."""
        counts = Counter(terms(text))
        postings = [posting for term, count in counts.items() if (posting := self._posting(term, count))]
        # Rare terms weigh most: after them, common terms only matter for documents already found.
        postings.sort(key=lambda posting: posting.bound, reverse=True)
        found, scores = self._best(postings, limit)
        order = np.lexsort((self._tie_order[found], -scores.astype(np.float32)))
        return found[order[:limit]]

    def _posting(self, term: str, count: int) -> _Posting | None:
        number = self._table.number(term)
        if number is None:
            return None
        start, stop = int(self._starts[number]), int(self._starts[number + 1])
        frequency = stop - start
        idf = np.float32(math.log(1 + (self._with_terms - frequency + 0.5) / (frequency + 0.5)))
        weight = np.float32(count) * idf
        return _Posting(
            documents=self._documents.part(start, stop),
            codes=self._codes.part(start, stop),
            term_scores=weight - weight / self._divisors,
            bound=float(weight - weight / self._largest_divisors[number]),
        )

    def _best(self, postings: Sequence[_Posting], limit: int) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        """Return all documents that may be among the best ``limit``, with their scores (MaxScore algorithm)."""
        scores = np.zeros(len(self._tie_order))
        enough = 0.0
        left = sum(posting.bound for posting in postings)
        done = 0
        for posting in postings:
            done += 1
            left -= posting.bound
            documents = posting.documents
            reached = scores[documents] + posting.term_scores[posting.codes]
            scores[documents] = reached
            if len(reached) > limit and left < float(reached.max()):
                # At least ``limit`` documents already have this score, so the last rank needs as much.
                enough = max(enough, _SLACK * float(np.partition(reached, -limit)[-limit]))
            if left < enough:
                break
        found = np.flatnonzero(scores >= max(enough - left, _ANY_SCORE)).astype(POSTING_DOCUMENTS)
        for posting in postings[done:]:
            _add(posting, found, scores)
            left -= posting.bound
            found = found[scores[found] >= enough - left]
        return found, scores[found]


class _TermTable:
    """The terms in ascending order of their UTF-8 bytes, searched on disk."""

    def __init__(self, folder: Path) -> None:
        self._bytes = _mapped_bytes(folder / "terms.bin")
        self._starts = np.load(folder / "term_starts.npy", mmap_mode="r")
        self.number = lru_cache(_CACHED_TERMS)(self._find)

    def _find(self, term: str) -> int | None:
        """Return the number of ``term``, or None if no document has it."""
        wanted = term.encode("utf-8", "surrogatepass")
        low, high = 0, len(self._starts) - 1
        while low < high:
            middle = (low + high) // 2
            if self._term(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._starts) - 1 and self._term(low) == wanted else None

    def _term(self, number: int) -> bytes:
        return self._bytes[self._starts[number] : self._starts[number + 1]]


class _Mapped:
    """A long array on disk that takes little of this process's memory."""

    def __init__(self, path: Path, dtype: np.dtype[np.unsignedinteger]) -> None:
        self._map = _mapped_bytes(path)
        self._array = np.frombuffer(self._map, dtype=dtype)
        self._read = 0

    def part(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        part = self._array[start:stop]
        self._read += part.nbytes
        if self._read > _MAPPED_BYTES and isinstance(self._map, mmap.mmap):
            self._read = 0
            self._map.madvise(mmap.MADV_DONTNEED)
        return part


def _mapped_bytes(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        # An empty file cannot be mapped.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _add(posting: _Posting, found: NDArray[np.uint32], scores: NDArray[np.float64]) -> None:
    """Add a term's scores to the documents in ``found`` only."""
    places = np.searchsorted(posting.documents, found)
    places[places == len(posting.documents)] = 0
    hit = posting.documents[places] == found
    scores[found[hit]] += posting.term_scores[posting.codes[places[hit]]]
