"""Products of the shop, and how a record of the original's product file becomes one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from leap_exp.core.errors import DataError

_LONGEST_ASIN = 10
_NO_ATTRIBUTES = ("DUMMY_ATTR",)
"""The attributes that the original gives a product without an entry in the attribute file."""

_TEXT_FIELDS = ("name", "full_description", "category", "query", "product_category")
_DEFAULT_PRICE = 100.0


class GoalKind(StrEnum):
    """Who wrote the instructions of goals."""

    SYNTHETIC = "synthetic"
    HUMAN = "human"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction to buy a certain product, without a price limit.

    Attributes:
        text: The instruction.
        attributes: The attributes that it asks for.
        options: The option values that it asks for. Empty if synthetic: such an instruction becomes one goal per
            combination of the product's options.
    """

    text: str
    attributes: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product: everything that pages, rewards and goals are made from.

    Attributes:
        asin: The product's id.
        name: Its name.
        description: Its description.
        bullets: Its features, as a list of bullet points.
        price_tag: The price as a page shows it.
        prices: The price in dollars, or the two bounds between which it is drawn.
        options: The values of each option, in the order of the page.
        attributes: Its attributes.
        category: Its top category.
        query: The search term under which it is listed.
        product_category: Its categories, from the broadest to the narrowest.
        nouns: The nouns in its name, in lower case, with repetitions.
        synthetic_instruction: The synthetic instruction that asks for it, or None.
        human_instructions: The instructions by people that ask for it.
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
    synthetic_instruction: Instruction | None = None
    human_instructions: tuple[Instruction, ...] = ()

    @property
    def indexed_text(self) -> str:
        """The text that the search index covers."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options.items())
        return " ".join([self.name, self.description, self.bullets[0] if self.bullets else "", options]).lower()

    def to_bytes(self) -> bytes:
        """Return the product as a catalogue stores it: a JSON list of the fields in order."""
        values = [getattr(self, field.name) for field in _FIELDS]
        human = [[each.text, each.attributes, each.options] for each in self.human_instructions]
        synthetic = self.synthetic_instruction and [
            self.synthetic_instruction.text,
            self.synthetic_instruction.attributes,
        ]
        stored = [*values[:-2], synthetic, human]
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def from_bytes(cls, stored: bytes) -> Product:
        """Return the product that ``to_bytes`` stored."""
        *plain, synthetic, human = json.loads(stored.decode("utf-8", "surrogatepass"))
        values: dict[str, Any] = {
            field.name: tuple(value) if isinstance(value, list) else value
            for field, value in zip(_FIELDS[:-2], plain, strict=True)
        }
        values["options"] = {option: tuple(choices) for option, choices in values["options"].items()}
        return cls(
            **values,
            synthetic_instruction=Instruction(text=synthetic[0], attributes=tuple(synthetic[1])) if synthetic else None,
            human_instructions=tuple(
                Instruction(text=text, attributes=tuple(attributes), options=tuple(options))
                for text, attributes, options in human
            ),
        )


_FIELDS = fields(Product)


def usable_asin(record: Mapping[str, object], where: str) -> str | None:
    """Return the id of a record of the product file, or None if the original skips such a record.

    Raises:
        DataError: The record has no id.
    """
    asin = record.get("asin")
    if not isinstance(asin, str):
        raise DataError(f"{where}: 'asin' must be a text, but it is {asin!r}. Download the file again.")
    return None if asin == "nan" or len(asin) > _LONGEST_ASIN else asin


def read_product(record: Mapping[str, object], attributes: object, instructions: object, *, where: str) -> Product:
    """Return the product of a record of the original's product file, without its nouns.

    Args:
        record: The entry of ``items_shuffle*.json``.
        attributes: The product's entry in ``items_ins_v2*.json``, or None.
        instructions: The product's entry in ``items_human_ins.json``, or None.
        where: The name of the record in error messages.

    Raises:
        DataError: A field is missing or has a type that the original cannot use.
    """
    for field in _TEXT_FIELDS:
        if not isinstance(record.get(field), str):
            raise DataError(
                f"{where}: {field!r} must be a text, but it is {record.get(field)!r}. Download the file again."
            )
    price_tag, prices = _read_prices(record.get("pricing"), where)
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
            synthetic_instruction=_read_synthetic(entry),
            human_instructions=_read_human(instructions),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{where}: a field is missing or has the wrong type ({error!r}). Download the file again."
        ) from error


def _read_prices(pricing: object, where: str) -> tuple[str, tuple[float, ...]]:
    """Return the price tag and the price or its bounds, given a text such as "$5.99 - $7"."""
    if not pricing:
        return f"${_DEFAULT_PRICE}", (_DEFAULT_PRICE,)
    try:
        prices = [float(Decimal(re.sub(r"[^\d.]", "", part))) for part in str(pricing).split("$")[1:]]
    except InvalidOperation as error:
        raise DataError(f"{where}: the price {pricing!r} is not a number. Download the file again.") from error
    if not prices:
        raise DataError(f"{where}: the price {pricing!r} has no dollar sign. Download the file again.")
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


def _read_synthetic(entry: Mapping[str, object]) -> Instruction | None:
    """Return the synthetic instruction of an entry, or None; the original crashes on one without attributes."""
    text, attributes = entry.get("instruction"), entry.get("instruction_attributes")
    return Instruction(text=str(text), attributes=_texts(attributes)) if text is not None and attributes else None


def _read_human(instructions: object) -> tuple[Instruction, ...]:
    """Return the instructions with at least one attribute; the original skips the others."""
    if instructions is None:
        return ()
    if not isinstance(instructions, list):
        raise TypeError(f"human instructions {instructions!r}")
    return tuple(
        Instruction(
            text=entry["instruction"].strip("."),
            attributes=_texts(entry["instruction_attributes"]),
            options=_texts(entry["instruction_options"]),
        )
        for entry in instructions
        if entry["instruction_attributes"]
    )


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"expected a list of texts, got {values!r}")
    if wrong := [value for value in values if not isinstance(value, str)]:
        raise TypeError(f"expected a text, got {wrong[0]!r}")
    return tuple(values)
