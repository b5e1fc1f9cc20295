"""Installs WebShop's catalogues, and opens a catalogue by its name."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import Dataset, OnProgress, data_folder, download
from leap_exp.envs.webshop.builtin.generator import generate
from leap_exp.envs.webshop.engine.authors_files import INSTRUCTIONS_FILE, SIZES, build_catalogue, find_files
from leap_exp.envs.webshop.engine.catalogue import DESCRIPTION_FILE, Catalogue
from leap_exp.envs.webshop.engine.goals import GoalList
from leap_exp.envs.webshop.engine.nouns import WordTagger
from leap_exp.envs.webshop.engine.products import GoalKind

BUILTIN = "builtin"

_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
_DRIVE_IDS: Mapping[str, str] = {
    "items_shuffle.json": "1A2whVgOO0euk5O13n2iYDM0bQRkkRduB",
    "items_ins_v2.json": "1s2j6NgHljiZzQNL3veZaAiyW_qDEgBNi",
    "items_shuffle_1000.json": "1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib",
    "items_ins_v2_1000.json": "1IduG0xl544V_A_jv3tHXC0kyFi7PnyBu",
    "items_human_ins.json": "14Kb5SPBk_jfdLZ_CDBNitW98QLDlKR5O",
}

_READS_PER_REPORT = 1000

_PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "all": {"products": 1_181_436, "human goals": 12_087},
    "1000": {"products": 1_000, "synthetic goals": 6_910, "human goals": 13},
}
"""Numbers of Yao et al. 2022 for all products; for the first 1,000, what the original counts."""


def open_catalogue(source: str, *, builtin_seed: int) -> Catalogue:
    """Open a catalogue.

    Args:
        source: "builtin", the size of an installed catalogue ("1000" or "all"), or a catalogue's folder.
        builtin_seed: Seed of the built-in catalogue.

    Raises:
        DataError: There is no such catalogue, or it cannot be read.
    """
    if source == BUILTIN:
        return _build_builtin(builtin_seed)
    folder = installed_folder(source) if source in SIZES else Path(source)
    if not (folder / DESCRIPTION_FILE).is_file():
        raise DataError(
            f"There is no catalogue in {folder}: run leap data install webshop, or set env.catalogue to {BUILTIN}, "
            f"{', '.join(SIZES)} or the folder of a catalogue."
        )
    return Catalogue(folder)


def _build_builtin(seed: int) -> Catalogue:
    """Build the built-in catalogue in a temporary folder, which takes a second; the folder is deleted with it."""
    folder = tempfile.TemporaryDirectory(prefix="leap_exp_webshop_")
    sources = Path(folder.name) / "sources"
    sources.mkdir()
    generate(seed).write(sources)
    # Always the same tagger, so that rewards do not depend on whether spaCy is installed.
    build_catalogue(Path(folder.name) / "catalogue", find_files(sources), tagger=WordTagger())
    catalogue = Catalogue(Path(folder.name) / "catalogue")
    weakref.finalize(catalogue, folder.cleanup)
    return catalogue


def installed_folder(size: str | None = None) -> Path:
    """Return where the catalogue of ``size``, or the largest installed one, belongs; the folder may not exist."""
    folders = {name: data_folder() / "webshop" / name for name in SIZES}
    if size:
        return folders[size]
    return next((folder for folder in folders.values() if folder.is_dir()), folders[next(iter(SIZES))])


class WebshopData(Dataset):
    """The authors' catalogue: all 1.18 million products, or the first 1,000."""

    description = "WebShop's products and instructions (MIT)"
    source = "a folder of the authors' JSON files, gzipped or not"
    sizes: Sequence[str] = tuple(SIZES)

    def folder(self, size: str | None) -> Path:
        """Return the folder of the installed catalogue, which may not exist yet."""
        return installed_folder(size)

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Build the catalogue and return lines that describe it.

        Args:
            source: A folder with the authors' files, or None to download them from the authors' Google Drive.
            size: "all" or "1000"; by default the largest in ``source``, or all.
            on_progress: Called with the stage and its progress.

        Raises:
            DataError: A file is missing or broken, or cannot be downloaded. An older installation is kept.
        """
        arriving = data_folder() / "webshop.download"
        if source is None:
            size = size or self.sizes[0]
            for name in (*SIZES[size], INSTRUCTIONS_FILE):
                download(_DRIVE + _DRIVE_IDS[name], arriving / name, on_progress)
        files = find_files(source or arriving, size)
        folder = installed_folder(files.size)
        build_catalogue(folder, files, on_progress=on_progress)
        report = _read_all(folder, on_progress)
        if source is None:
            shutil.rmtree(arriving)
        return report

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Read every product and return lines that describe the catalogue.

        Raises:
            DataError: There is no catalogue, or a part of it cannot be read.
        """
        return _read_all(installed_folder(size), on_progress)


def _read_all(folder: Path, on_progress: OnProgress) -> Sequence[str]:
    catalogue = Catalogue(folder)
    for row in range(len(catalogue)):
        product = catalogue.product(row)
        if catalogue.row(product.asin) != row:
            raise DataError(f"The catalogue {folder} is broken at product {row}: build it again.")
        if row % _READS_PER_REPORT == 0:
            on_progress("reading", row, len(catalogue))
    counts = {"products": len(catalogue)}
    for kind in GoalKind:
        if count := len(catalogue.goal_table(kind)):
            GoalList(catalogue, kind=kind).goal(count - 1)
        counts[f"{kind} goals"] = count

    def published(name: str) -> str:
        number = _PUBLISHED.get(folder.name, {}).get(name)
        return "" if number is None else f"   published {number:,}"

    return [
        f"{catalogue.origin}, at {folder}",
        *(f"{name:16}{count:10,}{published(name)}" for name, count in counts.items()),
        f"nouns of product names by {catalogue.tagger}",
    ]
