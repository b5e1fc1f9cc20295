"""Generates the built-in shop from a seed, in the format of WebShop's JSON files."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from leap_exp.core.errors import ConfigError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.builtin.departments import KINDS
from leap_exp.envs.webshop.builtin.draft import Draft, draw_drafts
from leap_exp.envs.webshop.builtin.texts import (
    capitalised,
    human_instructions,
    page_texts,
    plain_instruction,
    price_text,
    product_name,
)
from leap_exp.runs.files import write_whole

MAX_PRODUCTS = 50_000
"""With more products, there are too few different names per kind."""

_PATH_SEPARATOR = " \u203a "
_ASIN_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueSources:
    """The contents of WebShop's three JSON files.

    Attributes:
        products: The list in ``items_shuffle``.
        attributes: The table in ``items_ins_v2``, by asin.
        human_instructions: The table in ``items_human_ins``, by asin.
    """

    products: list[dict[str, Any]]
    attributes: dict[str, dict[str, Any]]
    human_instructions: dict[str, list[dict[str, Any]]]

    def write(self, folder: Path) -> None:
        """Write the three files to ``folder``, under the authors' names for the small catalogue.

        Raises:
            StoreError: A file cannot be written.
        """
        for name, content in (
            ("items_shuffle_1000.json", self.products),
            ("items_ins_v2_1000.json", self.attributes),
            ("items_human_ins.json", self.human_instructions),
        ):
            write_whole(folder / name, [json.dumps(content, ensure_ascii=False)])


def generate(seed: int, products: int = 1000) -> CatalogueSources:
    """Generate a catalogue of ``products`` (1 to 50,000) products, shuffled, with equally many of each kind.

    The same arguments give the same catalogue on every machine.

    Raises:
        ConfigError: The number of products is out of range.
    """
    if not 1 <= products <= MAX_PRODUCTS:
        raise ConfigError(f"A built-in catalogue cannot have {products} products: choose from 1 to {MAX_PRODUCTS}.")
    shares = [(kind, len(range(index, products, len(KINDS)))) for index, kind in enumerate(KINDS)]
    drafts = [draft for kind, count in shares for draft in draw_drafts(kind, count, seed)]
    Random(derive_seed(seed, "webshop", "order")).shuffle(drafts)
    rng = Random(derive_seed(seed, "webshop", "texts"))
    asins = _draw_asins(products, rng)
    names = _draw_names(drafts, rng)
    rows, attributes, instructions = [], {}, {}
    for draft, asin, name in zip(drafts, asins, names, strict=True):
        rows.append(_product(draft, asin, name, rng))
        text, wanted = plain_instruction(draft, rng)
        attributes[asin] = {
            "attributes": [attribute.words for attribute in draft.attributes],
            "instruction": text,
            "instruction_attributes": wanted,
        }
        instructions[asin] = human_instructions(draft, asin, rng)
    return CatalogueSources(products=rows, attributes=attributes, human_instructions=instructions)


def _draw_asins(count: int, rng: Random) -> list[str]:
    """Draw unique ids of ten letters and digits."""
    asins: dict[str, None] = {}
    while len(asins) < count:
        asins["B0" + "".join(rng.choices(_ASIN_LETTERS, k=8))] = None
    return list(asins)


def _draw_names(drafts: Iterable[Draft], rng: Random) -> list[str]:
    """Draw a unique name for each draft."""
    names: dict[str, None] = {}
    for draft in drafts:
        name = product_name(draft, rng)
        number = 2
        plain = name
        while name in names:
            name = f"{plain} No. {number}"
            number += 1
        names[name] = None
    return list(names)


def _product(draft: Draft, asin: str, name: str, rng: Random) -> dict[str, Any]:
    bullets, description = page_texts(draft, rng)
    return {
        "asin": asin,
        "name": name,
        "pricing": price_text(draft.prices),
        "full_description": description,
        "small_description": bullets,
        "images": [f"https://images.example/{asin}.jpg"],
        "product_category": _PATH_SEPARATOR.join(draft.kind.path),
        "average_rating": rng.choice(["", *(tenths / 10 for tenths in range(32, 51))]),
        "customization_options": {
            capitalised(option): [_option_value(value) for value in values] for option, values in draft.options.items()
        }
        or "",
        "category": draft.kind.category,
        "query": draft.kind.query,
        "page": rng.randint(1, 400),
    }


def _option_value(value: str) -> dict[str, Any]:
    return {
        "is_selected": False,
        "url": None,
        "value": capitalised(value),
        "price_string": "",
        "price": 0,
        "image": None,
    }
