"""A product as the shop knows it, and how the authors' records become one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from leap_exp.core.errors import DataError

_LONGEST_ASIN = 10
_NO_ATTRIBUTES = ("DUMMY_ATTR",)
"""What the original gives a product without an entry in the attribute file."""

_TEXT_FIELDS = ("name", "full_description", "category", "query", "product_category")
_DEFAULT_PRICE = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a shopper might ask for with a product in mind.

    ``options`` are those asked for by a person; a synthetic wish has none, for it asks for every combination.
    """

    text: str
    attributes: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product; all that pages, rewards and goals are made of.

    ``prices`` are the one price in dollars, or the two bounds between which it is drawn; ``options`` map a name to its
    values in the order of the page; ``nouns`` are those of the name, in lower case, with repetitions.
    """

    asin: str
    name: str
    description: str
    bullets: tuple[str, ...]
    price_tag: str
    prices: tuple[float, ...]
    options: Mapping[str, tuple[str, ...]]
    attributes: tuple[str, ...]
    category: str
    query: str
    product_category: str
    nouns: tuple[str, ...] = ()
    synthetic_wish: Wish | None = None
    human_wishes: tuple[Wish, ...] = ()

    @property
    def indexed_text(self) -> str:
        """What search looks in."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options.items())
        return " ".join([self.name, self.description, self.bullets[0] if self.bullets else "", options]).lower()

    def to_bytes(self) -> bytes:
        """The product as a catalogue stores it: a JSON list of the fields in order."""
        values = [getattr(self, field.name) for field in _FIELDS]
        wishes = [[wish.text, wish.attributes, wish.options] for wish in self.human_wishes]
        synthetic = self.synthetic_wish and [self.synthetic_wish.text, self.synthetic_wish.attributes]
        stored = [*values[:-2], synthetic, wishes]
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def from_bytes(cls, stored: bytes) -> Product:
        """The product that ``to_bytes`` stored."""
        *plain, synthetic, wishes = json.loads(stored.decode("utf-8", "surrogatepass"))
        values: dict[str, Any] = {
            field.name: tuple(value) if isinstance(value, list) else value
            for field, value in zip(_FIELDS[:-2], plain, strict=True)
        }
        values["options"] = {option: tuple(choices) for option, choices in values["options"].items()}
        return cls(
            **values,
            synthetic_wish=Wish(text=synthetic[0], attributes=tuple(synthetic[1])) if synthetic else None,
            human_wishes=tuple(
                Wish(text=text, attributes=tuple(wanted), options=tuple(chosen)) for text, wanted, chosen in wishes
            ),
        )


_FIELDS = fields(Product)


def usable_asin(record: Mapping[str, object], place: str) -> str | None:
    """The id of a record of the product file, or None if the original leaves such a record out.

    Raises:
        DataError: The record has no id.
    """
    asin = record.get("asin")
    if not isinstance(asin, str):
        raise DataError(f"{place} has no asin, but {asin!r}.")
    return None if asin == "nan" or len(asin) > _LONGEST_ASIN else asin


def read_product(record: Mapping[str, object], attributes: object, instructions: object, *, place: str) -> Product:
    """The product of a record of the authors' product file, without its nouns.

    Args:
        record: The entry of ``items_shuffle*.json``.
        attributes: Its entry in ``items_ins_v2*.json``, or None.
        instructions: Its entry in ``items_human_ins.json``, or None.
        place: What to call the record in an error.

    Raises:
        DataError: A field is missing or has another type than the original can use.
    """
    for field in _TEXT_FIELDS:
        if not isinstance(record.get(field), str):
            raise DataError(f"{place} has no {field!r} that is a text, but {record.get(field)!r}.")
    price_tag, prices = _read_prices(record.get("pricing"), place)
    try:
        entry = attributes if isinstance(attributes, Mapping) else {}
        return Product(
            asin=str(record["asin"]),
            name=str(record["name"]),
            description=str(record["full_description"]),
            bullets=_read_bullets(record["small_description"]),
            price_tag=price_tag,
            prices=prices,
            options=_read_options(record["customization_options"]),
            attributes=_texts(entry["attributes"]) if "attributes" in entry else _NO_ATTRIBUTES,
            category=str(record["category"]),
            query=str(record["query"]).lower().strip(),
            product_category=str(record["product_category"]),
            synthetic_wish=_read_synthetic(entry),
            human_wishes=_read_human(instructions),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{place} is not as the shop needs it: {error!r}.") from error


def _read_prices(pricing: object, place: str) -> tuple[str, tuple[float, ...]]:
    """The tag on the page and the price or its bounds, from a text such as "$5.99 - $7"."""
    if not pricing:
        return f"${_DEFAULT_PRICE}", (_DEFAULT_PRICE,)
    try:
        prices = [float(Decimal(re.sub(r"[^\d.]", "", part))) for part in str(pricing).split("$")[1:]]
    except InvalidOperation as error:
        raise DataError(f"{place} has a price that is no number: {pricing!r}.") from error
    if not prices:
        raise DataError(f"{place} has a price without a dollar sign: {pricing!r}.")
    if len(prices) == 1:
        return f"${prices[0]}", (prices[0],)
    return f"${prices[0]} to ${prices[1]}", (prices[0], prices[1])


def _read_bullets(bullets: object) -> tuple[str, ...]:
    return _texts(bullets) if isinstance(bullets, list) else _texts([bullets])


def _read_options(customization: object) -> dict[str, tuple[str, ...]]:
    options: dict[str, tuple[str, ...]] = {}
    if not isinstance(customization, Mapping):
        if customization:
            raise TypeError(f"customization_options {customization!r}")
        return options
    for name, contents in customization.items():
        if contents is not None:
            options[name.lower()] = tuple(content["value"].strip().replace("/", " | ").lower() for content in contents)
    return options


def _read_synthetic(entry: Mapping[str, object]) -> Wish | None:
    """The wish of an entry with an instruction; one without attributes, which stops the original, is none."""
    text, wanted = entry.get("instruction"), entry.get("instruction_attributes")
    return Wish(text=str(text), attributes=_texts(wanted)) if text is not None and wanted else None


def _read_human(instructions: object) -> tuple[Wish, ...]:
    """The wishes in which an attribute was found; the original leaves the others out."""
    if instructions is None:
        return ()
    if not isinstance(instructions, list):
        raise TypeError(f"human instructions {instructions!r}")
    return tuple(
        Wish(
            text=entry["instruction"].strip("."),
            attributes=_texts(entry["instruction_attributes"]),
            options=_texts(entry["instruction_options"]),
        )
        for entry in instructions
        if entry["instruction_attributes"]
    )


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"a list of texts was expected, not {values!r}")
    if wrong := [value for value in values if not isinstance(value, str)]:
        raise TypeError(f"a text was expected, not {wrong[0]!r}")
    return tuple(values)
