"""What the shop sells: its departments, kinds of products and their attributes, read from this package's TOML files."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

CATEGORIES = ("beauty", "garden", "fashion", "grocery", "electronics")
"""The shop's top categories, each with a TOML file of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Two words that are true of some products of a kind.

    ``place`` is where they stand beside a product's noun: ``before`` it, after ``with`` or after ``for``. ``asked``
    is how a shopper puts them, ``says`` the sentence in which a product's page states them.
    """

    words: str
    place: str
    asked: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductKind:
    """What holds for all products of a kind.

    ``query`` is the shop's name of the kind, ``noun`` what a single product is called, ``article`` the words before
    the noun, ``path`` the shelves from the department down. ``price`` holds the least and the highest price in
    dollars, ``options`` the values that each option can have, ``facts`` sentences that say nothing of any attribute.
    """

    category: str
    query: str
    noun: str
    article: str
    plural: bool
    path: tuple[str, ...]
    brands: tuple[str, ...]
    styles: tuple[str, ...]
    price: tuple[float, float]
    attributes: tuple[Attribute, ...]
    options: Mapping[str, tuple[str, ...]]
    facts: tuple[str, ...]


@cache
def read_table(name: str) -> Mapping[str, Any]:
    """The contents of file ``name`` of this package."""
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _read_attributes() -> dict[str, Attribute]:
    return {
        words: Attribute(words=words, place=row["place"], asked=row.get("asked", words), says=row["says"])
        for words, row in read_table("attributes.toml")["attributes"].items()
    }


def _read_kinds(category: str) -> list[ProductKind]:
    table = read_table(f"{category}.toml")
    return [
        ProductKind(
            category=category,
            query=query,
            noun=row["noun"],
            article=row["article"],
            plural=row.get("plural", False),
            path=(table["department"], *row["path"]),
            brands=tuple(table["brands"]),
            styles=tuple(row["styles"]),
            price=(row["price"][0], row["price"][1]),
            attributes=tuple(ATTRIBUTES[words] for words in row["attributes"]),
            options={name: tuple(values) for name, values in row["options"].items()},
            facts=tuple(row["facts"]),
        )
        for query, row in table["kinds"].items()
    ]


ATTRIBUTES: Mapping[str, Attribute] = _read_attributes()
EXCLUSIVE = tuple(frozenset(words) for words in read_table("attributes.toml")["exclusive"])
"""Sets of attributes of which a product has at most one."""

KINDS: tuple[ProductKind, ...] = tuple(kind for category in CATEGORIES for kind in _read_kinds(category))
