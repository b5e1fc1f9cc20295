"""The JSON files that WebShop's authors publish, and the catalogue that is built from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import OnProgress, ignore_progress
from leap_exp.envs.webshop.engine.catalogue_writer import write_catalogue
from leap_exp.envs.webshop.engine.json_stream import list_entries, object_entries
from leap_exp.envs.webshop.engine.nouns import Tagger, best_tagger
from leap_exp.envs.webshop.engine.products import Product, read_product, usable_asin


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorsFiles:
    """The three files that a catalogue is built from; each may be gzipped. ``size`` is a key of ``SIZES``."""

    size: str
    products: Path
    attributes: Path
    instructions: Path


SIZES: Mapping[str, tuple[str, str]] = {
    "all": ("items_shuffle.json", "items_ins_v2.json"),
    "1000": ("items_shuffle_1000.json", "items_ins_v2_1000.json"),
}
"""The names of the product file and the attribute file by number of products."""

INSTRUCTIONS_FILE = "items_human_ins.json"


def find_files(folder: Path, size: str | None = None) -> AuthorsFiles:
    """Return the authors' files in ``folder``: those of ``size``, or of the largest size that is there.

    Raises:
        DataError: A file is missing.
    """
    for found in [size] if size else SIZES:
        products, attributes = (_existing(folder / file) for file in SIZES[found])
        if products and attributes:
            break
    else:
        wanted = [" and ".join(SIZES[name]) for name in ([size] if size else SIZES)]
        raise DataError(
            f"The folder {folder} must contain {', or '.join(wanted)} (gzipped or not): choose another folder."
        )
    instructions = _existing(folder / INSTRUCTIONS_FILE)
    if not instructions:
        raise DataError(f"The folder {folder} must contain {INSTRUCTIONS_FILE} (gzipped or not), too.")
    return AuthorsFiles(size=found, products=products, attributes=attributes, instructions=instructions)


def _existing(path: Path) -> Path | None:
    packed = path.with_name(f"{path.name}.gz")
    return next((each for each in (path, packed) if each.is_file()), None)


def build_catalogue(
    folder: Path, files: AuthorsFiles, *, tagger: Tagger | None = None, on_progress: OnProgress = ignore_progress
) -> None:
    """Build the catalogue of the authors' ``files`` in ``folder``. The old content is only replaced on success.

    Args:
        folder: The target.
        files: The authors' files.
        tagger: Finds the nouns of names; by default the best one that is installed.
        on_progress: Called with the stage and its progress.

    Raises:
        DataError: A file is broken, or a product lacks a field that the shop needs.
    """
    write_catalogue(
        folder,
        read_products(files, on_progress),
        tagger=tagger or best_tagger(),
        origin=f"WebShop, {files.products.name}",
        on_progress=on_progress,
    )


def read_products(files: AuthorsFiles, on_progress: OnProgress = ignore_progress) -> Iterator[Product]:
    """Yield the products of the authors' ``files``, in order.

    Like the original, this skips records whose id is "nan", longer than ten characters, or a repetition.

    Raises:
        DataError: A file is broken, or a product lacks a field that the shop needs.
    """
    # Kept as JSON: as Python objects, the entries of the whole catalogue would take several GiB.
    attributes = {
        asin: json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        for asin, entry in object_entries(files.attributes, _stage("reading attributes", on_progress))
    }
    instructions = dict(object_entries(files.instructions))
    seen: set[str] = set()
    records = list_entries(files.products, _stage("reading products", on_progress))
    for number, record in enumerate(records, start=1):
        where = f"Product {number} of {files.products.name}"
        if not isinstance(record, Mapping):
            raise DataError(f"{where} must be a JSON object, but it is {record!r}. Download the file again.")
        asin = usable_asin(record, where)
        if asin is None or asin in seen:
            continue
        seen.add(asin)
        entry = attributes.get(asin)
        yield read_product(
            record,
            json.loads(entry.decode("utf-8", "surrogatepass")) if entry else None,
            instructions.get(asin),
            where=f"{where} ({asin})",
        )


def _stage(name: str, on_progress: OnProgress) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(name, done, total)
