"""The shop's pages and the two modes in which they are written.

The original renders HTML from a template, parses it and joins the texts it finds. Here a page is the list of these
texts, each with its role.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from leap_exp.envs.webshop.engine.products import Product

BACK, PREVIOUS, NEXT, BUY, SEARCH = "Back to Search", "< Prev", "Next >", "Buy Now", "Search"
SUBPAGES = ("Description", "Features", "Reviews", "Attributes")

RESULTS_PER_PAGE = 10

_NO_RATING = "N.A."
_SEPARATOR = " [SEP] "
_ASCII_SPACES = " \n\t\f\r"
_UNSAFE_IN_HTML = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&'"}


class ObservationMode(StrEnum):
    """The mode in which pages are written."""

    TEXT = "text"
    TEXT_RICH = "text_rich"


class Role(StrEnum):
    """The role of a text on a page."""

    TEXT = "text"
    BUTTON = "button"
    LINK = "link"
    """A product in a list of results."""
    OPTION = "option"


class Piece(NamedTuple):
    """A text on a page."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """The texts of a page, in order; ``option_names`` maps each option value to the name of its option."""

    pieces: Sequence[Piece]
    option_names: Mapping[str, str] = field(default_factory=dict)
    has_search_bar: bool = False

    @property
    def clickables(self) -> tuple[str, ...]:
        """The targets of clicks, without repetitions, in the original's order: buttons, products, then options."""
        buttons = [text.lower() for role, text in self.pieces if role is Role.BUTTON]
        links = [text.lower() for role, text in self.pieces if role is Role.LINK]
        return tuple(dict.fromkeys([*buttons, *links, *self.option_names]))

    def as_text(self) -> str:
        """Return the page in mode ``text``."""
        return _SEPARATOR.join(text.strip() for _, text in self.pieces)

    def as_rich_text(self, *, address: str, visited: Collection[str]) -> str:
        """Return the page in mode ``text_rich``.

        Args:
            address: The page's address. An option that it contains in quotation marks is shown as clicked.
            visited: The ids of the products that were opened.
        """
        lines, clicked = [], ""
        for role, text in self.pieces:
            if role is Role.TEXT:
                lines.append(text)
            elif role is Role.BUTTON:
                lines.append(f"[button] {text} [button_]")
            elif role is Role.LINK:
                lines.append(f"\n{_marked(text, text in visited)}")
            else:
                selected = f'"{text}"' in address
                clicked = f"You have clicked {text}.\n{clicked}" if selected else clicked
                lines.append(f"  {_marked(text, selected)}")
        return clicked + "".join(f"{line}\n" for line in lines)


def search_page(instruction: str) -> Page:
    """Return the page on which an episode starts."""
    return Page(
        _shown([(Role.TEXT, "WebShop"), (Role.TEXT, "Instruction: "), (Role.TEXT, instruction), (Role.BUTTON, SEARCH)]),
        has_search_bar=True,
    )


def results_page(instruction: str, products: Iterable[Product], *, number: int, total: int) -> Page:
    """Return page ``number`` (from 1) of the search results."""
    pieces = _head(instruction)
    pieces.append((Role.TEXT, f"Page {number} (Total results: {total})"))
    if number > 1:
        pieces.append((Role.BUTTON, PREVIOUS))
    pieces.append((Role.BUTTON, NEXT))
    for product in products:
        pieces += [(Role.LINK, product.asin), (Role.TEXT, product.name), (Role.TEXT, product.price_tag)]
    return Page(_shown(pieces))


def item_page(instruction: str, product: Product) -> Page:
    """Return the page of a product with its options."""
    pieces = [*_head(instruction), (Role.BUTTON, PREVIOUS)]
    names: dict[str, str] = {}
    for name, values in product.options.items():
        pieces.append((Role.TEXT, name))
        pieces += [(Role.OPTION, value) for value in values]
        # If two options have the same value, the original clicks the later one.
        names |= dict.fromkeys(values, name)
    pieces += [
        *((Role.TEXT, text) for text in (product.name, f"Price: {product.price_tag}", f"Rating: {_NO_RATING}")),
        *((Role.BUTTON, text) for text in (*SUBPAGES[:-1], BUY)),
    ]
    return Page(_shown(pieces), option_names=names)


def sub_page(instruction: str, product: Product, name: str) -> Page:
    """Return a page with details of a product; reviews are empty, as in the original."""
    texts: Mapping[str, Sequence[str]] = {
        "Description": (product.description,),
        "Features": [f" {bullet}" for bullet in product.bullets],
        "Reviews": (),
        "Attributes": [
            *(f" {attribute}" for attribute in product.attributes),
            *(product.category, product.query, product.product_category),
        ],
    }
    return Page(_shown([*_head(instruction), (Role.BUTTON, PREVIOUS), *((Role.TEXT, text) for text in texts[name])]))


def purchase_page(product: Product, selected: Mapping[str, str], reward: float) -> Page:
    """Return the page that the original shows after a purchase, including the fields that it leaves empty."""
    options = json.dumps(dict(selected), sort_keys=True).translate(_UNSAFE_IN_HTML)
    texts = [
        *("Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"),
        *("Purchased", "asin", product.asin, "options", options, "attrs", "None", "category", "None"),
        *("query", "None", "product category", "None"),
        *("Target", "asin", "options", "attrs", "price upper", "instuction text", "category", "product category"),
        *("query", "Goal ", "None", "Reward", "Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None"),
    ]
    return Page([Piece(Role.TEXT, text) for text in texts])


def _head(instruction: str) -> list[tuple[Role, str]]:
    return [(Role.TEXT, "Instruction:"), (Role.TEXT, instruction), (Role.BUTTON, BACK)]


def _marked(text: str, clicked: bool) -> str:
    return f"[clicked button] {text} [clicked button_]" if clicked else f"[button] {text} [button_]"


def _shown(pieces: Iterable[tuple[Role, str]]) -> list[Piece]:
    """Return the visible pieces: the original's parser drops empty texts and white space with a line break."""
    shown = []
    for role, text in pieces:
        if text.strip(_ASCII_SPACES):
            shown.append(Piece(role, text))
        elif text and "\n" not in text:
            shown.append(Piece(role, " "))
    return shown
