"""A catalogue on disk: products, search index, prices and goals. Threads and processes can share it; it is read-only.

The folder holds ``catalogue.json`` (version, counts, the tagger's name), ``products.bin`` with ``product_starts.npy``,
and arrays that are mapped into memory, so that a catalogue of any size opens in milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.engine.products import GoalKind, Product
from leap_exp.envs.webshop.engine.search import SearchIndex

VERSION = 1
DESCRIPTION_FILE = "catalogue.json"
RESULTS_PER_SEARCH = 50

_CACHED_PRODUCTS = 4096
_CACHED_SEARCHES = 1024


class Catalogue:
    """The catalogue that ``write_catalogue`` wrote to ``folder``.

    Each product has a row, counted from 0 in the order of the product file.

    Raises:
        DataError: There is no catalogue, it is incomplete, or it has another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._description = _read_description(folder)
        self.product_count: int = self._description["products"]
        self.tagger: str = self._description["tagger"]
        self.origin: str = self._description["origin"]
        try:
            self._open_arrays()
        except (OSError, ValueError) as error:
            raise DataError(f"The catalogue {folder} is incomplete ({error}): build it again.") from error
        self.product = lru_cache(_CACHED_PRODUCTS)(self._product)
        self._cached_search = lru_cache(_CACHED_SEARCHES)(self._search)

    def _open_arrays(self) -> None:
        self._starts = self._array("product_starts")
        self._asins = self._array("asins")
        self._by_asin = self._array("rows_by_asin")
        self._labels = {name: self._array(f"{name}_labels") for name in ("category", "query")}
        self.price_bounds: NDArray[np.float64] = self._array("price_bounds")
        self._goals = {kind: self._array(f"{kind}_goals") for kind in GoalKind}
        # The names of these files date from when instructions were called wishes.
        self._instructions = {kind: self._array(f"{kind}_wishes") for kind in GoalKind}
        self._limits = {kind: self._array(f"{kind}_limits") for kind in GoalKind}
        self._index = SearchIndex(self.folder, self._array("places_by_asin"))
        # Read instead of mapped: mapped pages would count as memory of this process.
        self._file = (self.folder / "products.bin").open("rb", buffering=0)

    def __len__(self) -> int:
        return self.product_count

    def row(self, asin: str) -> int | None:
        """Return the row of the product with the id ``asin``, or None."""
        wanted = np.bytes_(asin.encode())
        position = int(np.searchsorted(self._asins, wanted, sorter=self._by_asin))
        if position == len(self._by_asin):
            return None
        row = int(self._by_asin[position])
        return row if self._asins[row] == wanted else None

    def search(self, text: str) -> Sequence[int]:
        """Return the rows that the original's search engine finds for ``text``, at most 50, best first."""
        return self._cached_search(text)

    def rows_labelled(self, label: str, value: str) -> Sequence[int]:
        """Return the rows whose ``label`` ("category" or "query") is ``value``, in order."""
        values: Sequence[str] = self._description["labels"][label]
        if value not in values:
            return ()
        return [int(row) for row in np.flatnonzero(self._labels[label] == values.index(value))]

    def goal_table(self, kind: GoalKind) -> NDArray[np.int32]:
        """Return the goals in the original's order, shape (goals, 3).

        The columns are the product's row, which of its option combinations (synthetic) or instructions (human) the
        goal uses, and the index of its price limit.
        """
        return self._goals[kind]

    def instruction_rows(self, kind: GoalKind) -> Sequence[int]:
        """Return the product row of each instruction, in the order in which price limits are drawn."""
        return [int(row) for row in self._instructions[kind]]

    def default_limits(self, kind: GoalKind) -> NDArray[np.float64]:
        """Return the price limits, in dollars, of the default price seed."""
        return self._limits[kind]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of a SHA-256 over the products' ids and prices and the terms of the search index.

        It does not depend on the tagger, and takes a second for a million products.
        """
        found = hashlib.sha256()
        for name in ("asins", "price_bounds", "posting_starts"):
            found.update(np.ascontiguousarray(self._array(name)).tobytes())
        with (self.folder / "terms.bin").open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()[:16]

    def _array(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array

    def _product(self, row: int) -> Product:
        """Read the product in ``row``.

        Raises:
            DataError: It cannot be read.
        """
        start, stop = int(self._starts[row]), int(self._starts[row + 1])
        try:
            return Product.from_bytes(os.pread(self._file.fileno(), stop - start, start))
        except (ValueError, TypeError, OSError) as error:
            raise DataError(
                f"Product {row} of the catalogue {self.folder} cannot be read: build the catalogue again."
            ) from error

    def _search(self, text: str) -> tuple[int, ...]:
        return tuple(int(row) for row in self._index.search(text, RESULTS_PER_SEARCH))


def _read_description(folder: Path) -> Mapping[str, Any]:
    path = folder / DESCRIPTION_FILE
    try:
        description: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"There is no catalogue in {folder}: run leap data install webshop.") from error
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}): build the catalogue again.") from error
    if description.get("version") != VERSION:
        raise DataError(
            f"The catalogue {folder} has version {description.get('version')!r}, but this program reads version "
            f"{VERSION}: build it again with leap data install webshop."
        )
    return description
