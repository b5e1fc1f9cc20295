"""Writes a catalogue in bounded memory: to a temporary folder first, which replaces the old one when it is complete."""

from __future__ import annotations

import json
import math
import random
import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import OnProgress, ignore_progress, replace_folder
from leap_exp.envs.webshop.engine.catalogue import DESCRIPTION_FILE, VERSION
from leap_exp.envs.webshop.engine.goals import DEFAULT_PRICE_SEED, ORDER_SEED, draw_limits, draw_prices
from leap_exp.envs.webshop.engine.index_writer import IndexWriter
from leap_exp.envs.webshop.engine.nouns import Tagger
from leap_exp.envs.webshop.engine.products import GoalKind, Product

_TAGGED_AT_ONCE = 512


def write_catalogue(
    folder: Path, products: Iterable[Product], *, tagger: Tagger, origin: str, on_progress: OnProgress = ignore_progress
) -> None:
    """Write the catalogue of ``products`` to ``folder``. The old content is only replaced if everything succeeds.

    Args:
        folder: The target. The catalogue is written to ``NAME.part`` beside it first.
        products: The products, with unique ids, in the order that search, prices and goals follow.
        tagger: Finds the nouns of the names, which the catalogue stores.
        origin: A description of the products for users.
        on_progress: Called with the progress of sorting the index.

    Raises:
        DataError: There are no products, two have the same id, or ``products`` raises it.
    """
    fresh = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        _Writer(fresh, tagger=tagger).write(products, origin=origin, on_progress=on_progress)
        replace_folder(folder, fresh)
    except OSError as error:
        raise DataError(
            f"The catalogue {folder} could not be written ({error.strerror or error}): check the disk."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class _Writer:
    """The columns of a catalogue while it is being written."""

    def __init__(self, folder: Path, *, tagger: Tagger) -> None:
        self._folder, self._tagger = folder, tagger
        self._asins: list[bytes] = []
        self._starts = array("q", [0])
        self._bounds = array("d")
        self._labels: dict[str, dict[str, int]] = {"category": {}, "query": {}}
        self._label_columns = {name: array("i") for name in self._labels}
        self._synthetic_rows, self._combinations = array("i"), array("q")
        self._human: list[tuple[int, int]] = []

    def write(self, products: Iterable[Product], *, origin: str, on_progress: OnProgress) -> None:
        index = IndexWriter(self._folder)
        with (self._folder / "products.bin").open("wb") as file:
            for product in self._tagged(products):
                self._starts.append(self._starts[-1] + file.write(product.to_bytes()))
                self._add(product)
                index.add(product.indexed_text)
        if not self._asins:
            raise DataError("A catalogue needs at least one product: the product file has none.")
        self._save_columns()
        index.finish(lambda done, total: on_progress("sorting the index", done, total))
        description = {
            "version": VERSION,
            "products": len(self._asins),
            "goals": {str(kind): self._save_goals(kind) for kind in GoalKind},
            "tagger": self._tagger.name,
            "origin": origin,
            "labels": {name: list(values) for name, values in self._labels.items()},
        }
        text = json.dumps(description, ensure_ascii=False, indent=1)
        (self._folder / DESCRIPTION_FILE).write_text(text, encoding="utf-8")

    def _tagged(self, products: Iterable[Product]) -> Iterator[Product]:
        remaining = iter(products)
        while block := list(islice(remaining, _TAGGED_AT_ONCE)):
            for product, nouns in zip(block, self._tagger.nouns([each.name for each in block]), strict=True):
                yield replace(product, nouns=nouns)

    def _add(self, product: Product) -> None:
        row = len(self._asins)
        self._asins.append(product.asin.encode())
        low, high = (*product.prices, math.nan)[:2]
        self._bounds.extend((low, high))
        for name, known in self._labels.items():
            value = str(getattr(product, name))
            self._label_columns[name].append(known.setdefault(value, len(known)))
        if product.synthetic_instruction:
            self._synthetic_rows.append(row)
            self._combinations.append(math.prod(len(values) for values in product.options.values()))
        self._human.extend((row, number) for number in range(len(product.human_instructions)))

    def _save(self, name: str, values: NDArray[np.generic]) -> None:
        np.save(self._folder / f"{name}.npy", values)

    def _save_columns(self) -> None:
        asins = np.array(self._asins)
        by_asin = np.argsort(asins, kind="stable").astype(np.int32)
        same = np.flatnonzero(asins[by_asin[1:]] == asins[by_asin[:-1]])
        if len(same):
            raise DataError(f"Two products have the id {asins[by_asin[same[0]]].decode()}: ids must be unique.")
        places = np.empty_like(by_asin)
        places[by_asin] = np.arange(len(by_asin), dtype=np.int32)
        self._save("asins", asins)
        self._save("rows_by_asin", by_asin)
        self._save("places_by_asin", places)
        self._save("product_starts", np.array(self._starts, dtype=np.int64))
        self._save("price_bounds", np.array(self._bounds).reshape(-1, 2))
        for name, column in self._label_columns.items():
            self._save(f"{name}_labels", np.array(column, dtype=np.int32))

    def _save_goals(self, kind: GoalKind) -> int:
        """Save the goals in the original's order and return their number."""
        if kind is GoalKind.SYNTHETIC:
            rows, counts = np.array(self._synthetic_rows, dtype=np.int32), np.array(self._combinations, dtype=np.int64)
            firsts = np.cumsum(counts) - counts
            choices = np.arange(counts.sum()) - np.repeat(firsts, counts)
            table = np.column_stack([np.repeat(rows, counts), choices, np.repeat(np.arange(len(rows)), counts)])
        else:
            pairs = np.array(self._human, dtype=np.int32).reshape(-1, 2)
            rows = pairs[:, 0]
            table = np.column_stack([pairs, np.arange(len(pairs))])
        order = array("i", range(len(table)))
        random.Random(ORDER_SEED).shuffle(order)
        self._save(f"{kind}_wishes", rows)
        self._save(f"{kind}_goals", table.astype(np.int32)[np.array(order, dtype=np.int64)])
        self._save_limits(kind, rows.tolist())
        return len(table)

    def _save_limits(self, kind: GoalKind, rows: Sequence[int]) -> None:
        """Save the price limits of the default seed: for a million products, drawing them takes seconds."""
        rng = random.Random(DEFAULT_PRICE_SEED)
        prices = draw_prices(rng, np.array(self._bounds).reshape(-1, 2))
        self._save(f"{kind}_limits", draw_limits(rng, prices, rows))
