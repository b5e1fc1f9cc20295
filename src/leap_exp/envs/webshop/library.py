"""Opening a catalogue by what the configuration calls it."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.authors_files import SIZES, build_catalogue, find_files
from leap_exp.envs.webshop.builtin import generate
from leap_exp.envs.webshop.catalogue import DESCRIPTION_FILE, Catalogue
from leap_exp.envs.webshop.install import installed_folder
from leap_exp.envs.webshop.nouns import WordTagger

BUILTIN = "builtin"


def open_catalogue(source: str, *, builtin_seed: int) -> Catalogue:
    """The catalogue that ``source`` names.

    Args:
        source: "builtin", the name of an installed one ("1000" or "all"), or the path of a catalogue.
        builtin_seed: Seed of the built-in one.

    Raises:
        DataError: It is not there or cannot be read.
    """
    if source == BUILTIN:
        return _build_builtin(builtin_seed)
    folder = installed_folder(source) if source in SIZES else Path(source)
    if not (folder / DESCRIPTION_FILE).is_file():
        raise DataError(
            f"There is no catalogue at {folder}: run python -m leap_exp.data install webshop, or set env.catalogue to "
            f"{BUILTIN}, {', '.join(SIZES)} or the folder of a catalogue."
        )
    return Catalogue(folder)


def _build_builtin(seed: int) -> Catalogue:
    """The built-in catalogue, in a folder of this process's own, which goes with it: building takes a second."""
    folder = tempfile.TemporaryDirectory(prefix="leap_exp_webshop_")
    sources = Path(folder.name) / "sources"
    sources.mkdir()
    generate(seed).write(sources)
    # Always the same tagger, so that rewards do not change with what else is installed.
    build_catalogue(Path(folder.name) / "catalogue", find_files(sources), tagger=WordTagger())
    catalogue = Catalogue(Path(folder.name) / "catalogue")
    weakref.finalize(catalogue, folder.cleanup)
    return catalogue
