"""Installs WebShop's catalogue from the authors' files, and reads what is installed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.installation import OnProgress, data_folder, download
from leap_exp.envs.webshop.authors_files import INSTRUCTIONS_FILE, SIZES, build_catalogue, find_files
from leap_exp.envs.webshop.catalogue import Catalogue
from leap_exp.envs.webshop.goals import GoalKind, GoalList

_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
_DRIVE_IDS: Mapping[str, str] = {
    "items_shuffle.json": "1A2whVgOO0euk5O13n2iYDM0bQRkkRduB",
    "items_ins_v2.json": "1s2j6NgHljiZzQNL3veZaAiyW_qDEgBNi",
    "items_shuffle_1000.json": "1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib",
    "items_ins_v2_1000.json": "1IduG0xl544V_A_jv3tHXC0kyFi7PnyBu",
    "items_human_ins.json": "14Kb5SPBk_jfdLZ_CDBNitW98QLDlKR5O",
}

_READS_REPORTED = 1000


def installed_folder(size: str | None = None) -> Path:
    """Where the catalogue of ``size`` is installed, or the largest that is; it need not exist."""
    folders = {name: data_folder() / "webshop" / name for name in SIZES}
    if size:
        return folders[size]
    return next((folder for folder in folders.values() if folder.is_dir()), folders[next(iter(SIZES))])


class WebshopData:
    """The authors' catalogue: all of its 1.18 million products, or the first 1,000."""

    description = "WebShop's products and instructions (MIT)"
    source = "a folder of the authors' JSON files, gzipped or not"
    sizes: Sequence[str] = tuple(SIZES)

    def folder(self, size: str | None) -> Path:
        """Where the catalogue is installed; it need not exist."""
        return installed_folder(size)

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Build the catalogue from the files in ``source``, or from the authors' Google Drive; says what is there now.

        Args:
            source: A folder of files at hand.
            size: "all" or "1000"; by default the largest in ``source``, or all.
            on_progress: Hears how far it is.

        Raises:
            DataError: A file cannot be had, or is broken. What was installed before is still there.
        """
        arriving = data_folder() / "webshop.download"
        if source is None:
            size = size or self.sizes[0]
            for name in (*SIZES[size], INSTRUCTIONS_FILE):
                download(_DRIVE + _DRIVE_IDS[name], arriving / name, on_progress)
        files = find_files(source or arriving, size)
        folder = installed_folder(files.size)
        build_catalogue(folder, files, on_progress=on_progress)
        report = _report(folder, on_progress)
        if source is None:
            shutil.rmtree(arriving)
        return report

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Read every product and say what the catalogue holds.

        Raises:
            DataError: There is none, or a part of it cannot be read.
        """
        return _report(installed_folder(size), on_progress)


def _report(folder: Path, on_progress: OnProgress) -> Sequence[str]:
    catalogue = Catalogue(folder)
    for row in range(len(catalogue)):
        product = catalogue.product(row)
        if catalogue.row(product.asin) != row:
            raise DataError(f"The catalogue {folder} does not find its product {row}: build it again.")
        if row % _READS_REPORTED == 0:
            on_progress("reading", row, len(catalogue))
    counts = {"products": len(catalogue)}
    for kind in GoalKind:
        if count := len(catalogue.goal_places(kind)):
            GoalList(catalogue, kind=kind).goal(count - 1)
        counts[f"{kind} goals"] = count
    return [
        f"{catalogue.origin}, at {folder}",
        *(f"{name:16}{count:10,}" for name, count in counts.items()),
        f"nouns of product names by {catalogue.tagger}",
    ]
