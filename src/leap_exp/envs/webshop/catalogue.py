"""A catalogue on disk: products, search index, prices and goals, read-only and shared by threads and processes.

The folder holds ``catalogue.json`` (version, counts, the tagger's name), ``products.bin`` with ``product_starts.npy``,
and arrays that are mapped into memory. A catalogue opens in milliseconds whatever its size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.goals import GoalKind
from leap_exp.envs.webshop.product import Product
from leap_exp.envs.webshop.search import SearchIndex

VERSION = 1
DESCRIPTION_FILE = "catalogue.json"
RESULTS_OF_A_SEARCH = 50

_PRODUCTS_IN_MEMORY = 4096
_SEARCHES_IN_MEMORY = 1024


class Catalogue:
    """The catalogue in ``folder``, which ``write_catalogue`` wrote.

    Products have a row, counted from 0 in the order of the authors' file.

    Raises:
        DataError: There is none, it is incomplete, or it is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._about = read_description(folder)
        self.product_count: int = self._about["products"]
        self.tagger: str = self._about["tagger"]
        self.origin: str = self._about["origin"]
        try:
            self._open_arrays()
        except (OSError, ValueError) as error:
            raise DataError(f"The catalogue {folder} is incomplete ({error}): build it again.") from error
        self.product = lru_cache(_PRODUCTS_IN_MEMORY)(self._product)
        self._rows_found = lru_cache(_SEARCHES_IN_MEMORY)(self._search)

    def _open_arrays(self) -> None:
        self._starts = self._array("product_starts")
        self._asins = self._array("asins")
        self._by_asin = self._array("rows_by_asin")
        self._labels = {name: self._array(f"{name}_labels") for name in ("category", "query")}
        self.price_bounds: NDArray[np.float64] = self._array("price_bounds")
        self._goals = {kind: self._array(f"{kind}_goals") for kind in GoalKind}
        self._wishes = {kind: self._array(f"{kind}_wishes") for kind in GoalKind}
        self._limits = {kind: self._array(f"{kind}_limits") for kind in GoalKind}
        self._index = SearchIndex(self.folder, self._array("places_by_asin"))
        # Read, not mapped: mapped pages would count as the process's own for as long as it lives.
        self._file = (self.folder / "products.bin").open("rb", buffering=0)

    def __len__(self) -> int:
        return self.product_count

    def row(self, asin: str) -> int | None:
        """The row of the product with the id ``asin``, or None."""
        wanted = np.bytes_(asin.encode())
        place = int(np.searchsorted(self._asins, wanted, sorter=self._by_asin))
        if place == len(self._by_asin):
            return None
        row = int(self._by_asin[place])
        return row if self._asins[row] == wanted else None

    def search(self, text: str) -> Sequence[int]:
        """The rows that the original's search engine finds for ``text``, at most 50, best first."""
        return self._rows_found(text)

    def rows_labelled(self, label: str, value: str) -> Sequence[int]:
        """The rows whose ``label`` ("category" or "query") is ``value``, in order."""
        values: Sequence[str] = self._about["labels"][label]
        if value not in values:
            return ()
        return [int(row) for row in np.flatnonzero(self._labels[label] == values.index(value))]

    def goal_places(self, kind: GoalKind) -> NDArray[np.int32]:
        """A line a goal in the original's order: the row, which combination or wish of it, and which price limit."""
        return self._goals[kind]

    def wish_rows(self, kind: GoalKind) -> Sequence[int]:
        """The row of each wish, in the order in which price limits are drawn."""
        return [int(row) for row in self._wishes[kind]]

    def default_limits(self, kind: GoalKind) -> NDArray[np.float64]:
        """The price limits, in dollars, that the default price seed gives."""
        return self._limits[kind]

    def _array(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array

    def _product(self, row: int) -> Product:
        """The product in ``row``.

        Raises:
            DataError: It cannot be read.
        """
        start, stop = int(self._starts[row]), int(self._starts[row + 1])
        try:
            return Product.from_bytes(os.pread(self._file.fileno(), stop - start, start))
        except (ValueError, TypeError, OSError) as error:
            raise DataError(f"Product {row} of the catalogue {self.folder} cannot be read: build it again.") from error

    def _search(self, text: str) -> tuple[int, ...]:
        return tuple(int(row) for row in self._index.search(text, RESULTS_OF_A_SEARCH))


def read_description(folder: Path) -> Mapping[str, Any]:
    """What ``catalogue.json`` in ``folder`` says.

    Raises:
        DataError: There is none, or it is of another version.
    """
    path = folder / DESCRIPTION_FILE
    try:
        about: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"There is no catalogue at {folder}: run python -m leap_exp.data install webshop.") from error
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}): build the catalogue again.") from error
    if about.get("version") != VERSION:
        raise DataError(
            f"The catalogue {folder} has version {about.get('version')!r}, this program reads {VERSION}: "
            f"build it again with python -m leap_exp.data install webshop."
        )
    return about
