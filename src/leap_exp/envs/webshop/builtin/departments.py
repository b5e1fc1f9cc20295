"""The built-in shop's departments, kinds of products and attributes, read from the TOML files of this package."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

CATEGORIES = ("beauty", "garden", "fashion", "grocery", "electronics")
"""The top categories, each with a TOML file of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute of products.

    Attributes:
        words: The two words that name it.
        place: Where the words go in a product's name: ``before`` the noun, after ``with`` or after ``for``.
        asked: How a shopper asks for it.
        says: The sentence with which a product's page states it.
    """

    words: str
    place: str
    asked: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductKind:
    """A kind of products.

    Attributes:
        category: The top category.
        query: The shop's name of the kind.
        noun: The word for a single product.
        article: The words before the noun.
        plural: Whether the noun is plural.
        path: The categories, from the department down.
        brands: The brands.
        styles: The styles.
        price: The lowest and the highest price, in dollars.
        attributes: The possible attributes.
        options: The possible values of each option.
        facts: Sentences that state no attribute.
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
    """Return the contents of the TOML file ``name`` of this package."""
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
"""Sets of attributes of which a product can have at most one."""

KINDS: tuple[ProductKind, ...] = tuple(kind for category in CATEGORIES for kind in _read_kinds(category))
