"""The authors' JSON files, and making products of them as the original's loader does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.installation import OnProgress, ignore_progress
from leap_exp.envs.webshop.catalogue_writer import write_catalogue
from leap_exp.envs.webshop.json_stream import list_entries, object_entries
from leap_exp.envs.webshop.nouns import Tagger, best_tagger
from leap_exp.envs.webshop.product import Product, read_product, usable_asin


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
"""The names of the product and the attribute file, by how many products they hold."""

INSTRUCTIONS_FILE = "items_human_ins.json"


def find_files(folder: Path, size: str | None = None) -> AuthorsFiles:
    """The authors' files in ``folder``: those of ``size``, or of the largest size that is there.

    Raises:
        DataError: One is missing.
    """
    for found in [size] if size else SIZES:
        products, attributes = (_present(folder / file) for file in SIZES[found])
        if products and attributes:
            break
    else:
        wanted = [" and ".join(SIZES[name]) for name in ([size] if size else SIZES)]
        raise DataError(f"The folder {folder} holds none of these pairs (gzipped or not): {'; '.join(wanted)}.")
    instructions = _present(folder / INSTRUCTIONS_FILE)
    if not instructions:
        raise DataError(f"The folder {folder} lacks {INSTRUCTIONS_FILE}, the instructions that people wrote.")
    return AuthorsFiles(size=found, products=products, attributes=attributes, instructions=instructions)


def _present(path: Path) -> Path | None:
    packed = path.with_name(f"{path.name}.gz")
    return next((each for each in (path, packed) if each.is_file()), None)


def build_catalogue(
    folder: Path, files: AuthorsFiles, *, tagger: Tagger | None = None, on_progress: OnProgress = ignore_progress
) -> None:
    """Build the catalogue of the authors' ``files`` in ``folder``.

    Args:
        folder: Where it goes, whole or not at all.
        files: What it is built from.
        tagger: Finds the nouns of names; by default the best that is installed.
        on_progress: Hears how far it is.

    Raises:
        DataError: A file is broken, or a product lacks what the shop needs.
    """
    write_catalogue(
        folder,
        read_products(files, on_progress),
        tagger=tagger or best_tagger(),
        origin=f"WebShop, {files.products.name}",
        on_progress=on_progress,
    )


def read_products(files: AuthorsFiles, on_progress: OnProgress = ignore_progress) -> Iterator[Product]:
    """The products of the authors' ``files``, in order.

    As in the original, a record is left out whose id is "nan", longer than ten characters, or was there before.

    Raises:
        DataError: A file is broken, or a product lacks what the shop needs.
    """
    # Compact texts: as Python objects the entries of the whole catalogue would take several GiB.
    attributes = {
        asin: json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        for asin, entry in object_entries(files.attributes, _stage("reading attributes", on_progress))
    }
    instructions = dict(object_entries(files.instructions))
    seen: set[str] = set()
    records = list_entries(files.products, _stage("reading products", on_progress))
    for number, record in enumerate(records, start=1):
        place = f"Product {number} of {files.products.name}"
        if not isinstance(record, Mapping):
            raise DataError(f"{place} is no JSON object, but {record!r}.")
        asin = usable_asin(record, place)
        if asin is None or asin in seen:
            continue
        seen.add(asin)
        entry = attributes.get(asin)
        yield read_product(
            record,
            json.loads(entry.decode("utf-8", "surrogatepass")) if entry else None,
            instructions.get(asin),
            place=f"{place} ({asin})",
        )


def _stage(name: str, on_progress: OnProgress) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(name, done, total)
