"""Makes a large catalogue out of a small one, for measurements: the same shape, other words.

A copy of a product has its words in another order, and one word in a hundred is a new one, so that the vocabulary grows
with the catalogue about as that of real text does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.authors_files import INSTRUCTIONS_FILE, SIZES, AuthorsFiles, find_files
from leap_exp.envs.webshop.json_stream import list_entries, object_entries

_NEW_WORDS = 0.01


def multiply(files: AuthorsFiles, folder: Path, products: int) -> AuthorsFiles:
    """Write the authors' files of a catalogue of ``products`` products, made from those in ``files``, to ``folder``.

    Raises:
        DataError: A file is broken.
    """
    originals: list[Mapping[str, Any]] = [
        dict(entry) for entry in list_entries(files.products) if isinstance(entry, dict)
    ]
    attributes = dict(object_entries(files.attributes))
    names = SIZES["all"]
    with (folder / names[0]).open("w") as catalogue, (folder / names[1]).open("w") as entries:
        catalogue.write("[")
        entries.write("{")
        for number in range(products):
            original = originals[number % len(originals)]
            record = _copy(original, number // len(originals), number)
            separator = "," if number else ""
            catalogue.write(separator + json.dumps(record))
            entries.write(f"{separator}{json.dumps(record['asin'])}:{json.dumps(attributes.get(original['asin'], {}))}")
        catalogue.write("]")
        entries.write("}")
    (folder / INSTRUCTIONS_FILE).write_text(json.dumps(dict(object_entries(files.instructions))))
    return find_files(folder, "all")


def _copy(original: Mapping[str, Any], copy: int, number: int) -> Mapping[str, Any]:
    if copy == 0:
        return original
    rng = random.Random(derive_seed(0, "webshop", "multiply", number))
    fresh = (f"w{copy:x}{index:x}" for index in count())

    def shuffled(text: str) -> str:
        words = [next(fresh) + word if rng.random() < _NEW_WORDS else word for word in text.split()]
        rng.shuffle(words)
        return " ".join(words)

    bullets = original["small_description"]
    return {
        **original,
        "asin": f"C{number:09d}",
        "name": shuffled(original["name"]),
        "full_description": shuffled(original["full_description"]),
        "small_description": [shuffled(bullet) for bullet in bullets]
        if isinstance(bullets, list)
        else shuffled(bullets),
    }
