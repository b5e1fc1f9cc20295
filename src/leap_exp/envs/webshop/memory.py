"""What a shopper can remember from its history: lists of results, products looked at, options chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from leap_exp.core.types import Observation, View
from leap_exp.envs.webshop import pages
from leap_exp.envs.webshop.shop import Place, parse_action

_SEPARATOR = " [SEP] "
_MARKED = re.compile(r"\s*\[(?:clicked )?button\] (.*) \[(?:clicked )?button_\]")
_CLICKED = "You have clicked "
_HEAD, _ITEM_TAIL = 4, 7
"""How many texts stand before a product's options (up to ``< Prev``), and from its name on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A product in a list of results; ``price`` is the lower bound, in dollars."""

    asin: str
    name: str
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSeen:
    """What one observation shows; only the fields of its kind of page are filled."""

    place: Place
    listings: tuple[Listing, ...] = ()
    name: str = ""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    text: str = ""
    """What a further page about a product says."""


@dataclass(slots=True)
class ProductSeen:
    """What is known of a product that was looked at: what the pages said, its options and which pages were read."""

    listing: Listing
    text: str
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Memory:
    """What a shopper knows after its history."""

    page: PageSeen
    page_number: int = 0
    """Of the list of results that is shown, or that the product was found in; 0 before any search."""
    results: tuple[Listing, ...] = ()
    """The results on that page."""
    queries: list[str] = field(default_factory=list)
    products: dict[str, ProductSeen] = field(default_factory=dict)
    """The products looked at, by id, in the order of the first look."""
    current: ProductSeen | None = None
    chosen: dict[str, str] = field(default_factory=dict)
    """The options chosen of the current product, by name."""

    def listed(self, target: str) -> Listing | None:
        """The result that ``click[target]`` opens, by its id or its name."""
        wanted = target.lower()
        return next((each for each in self.results if wanted in (each.asin.lower(), each.name.lower())), None)


def recall(view: View) -> Memory:
    """What the agent of ``view`` remembers."""
    memory = Memory(page=read_page(view.history[0].observation if view.history else view.observation))
    for action, observation in _turns(view):
        page = read_page(observation)
        _follow(memory, action, page)
        memory.page = page
    return memory


@lru_cache(maxsize=16384)
def read_page(observation: Observation) -> PageSeen:
    """What ``observation`` shows, in either way of writing pages."""
    texts = _texts(observation.text)
    if texts[0] == "WebShop":
        return PageSeen(place=Place.SEARCH)
    if texts[0] != "Instruction:":
        return PageSeen(place=Place.DONE)
    if texts[3].startswith("Page "):
        rows = [text for text in texts[4:] if text not in (pages.PREVIOUS, pages.NEXT)]
        return PageSeen(place=Place.RESULTS, listings=tuple(_listings(rows)))
    if texts[-1] != pages.BUY:
        return PageSeen(place=Place.SUBPAGE, text="\n".join(texts[_HEAD:]))
    options = _options(texts[_HEAD:-_ITEM_TAIL], observation)
    return PageSeen(place=Place.ITEM, name=texts[-_ITEM_TAIL], options=options)


def _turns(view: View) -> Iterator[tuple[str, Observation]]:
    """Each action with the observation that it led to."""
    shown = [*(step.observation for step in view.history), view.observation]
    for step, observation in zip(view.history, shown[1:], strict=True):
        yield step.decision.action, observation


def _follow(memory: Memory, action: str, page: PageSeen) -> None:
    """Note what ``action`` led to."""
    name, argument = parse_action(action)
    if page.place is Place.RESULTS:
        _enter_results(memory, page, query=argument if name == "search" else None, argument=argument or "")
    elif page.place is Place.SEARCH:
        memory.current, memory.chosen, memory.results, memory.page_number = None, {}, (), 0
    elif page.place is Place.ITEM:
        _enter_item(memory, page, action)
    elif page.place is Place.SUBPAGE and memory.current and argument not in memory.current.read:
        memory.current.read.add(argument or "")
        memory.current.text += f"\n{page.text}"


def _enter_results(memory: Memory, page: PageSeen, *, query: str | None, argument: str) -> None:
    if query is not None:
        memory.queries.append(query)
        memory.page_number = 1
    elif memory.page.place is Place.RESULTS:
        memory.page_number += {pages.NEXT.lower(): 1, pages.PREVIOUS.lower(): -1}.get(argument, 0)
    memory.results, memory.current, memory.chosen = page.listings, None, {}


def _enter_item(memory: Memory, page: PageSeen, action: str) -> None:
    target = action.removeprefix("click[").removesuffix("]")
    if memory.page.place is Place.RESULTS:
        if listing := memory.listed(target):
            memory.current = memory.products.setdefault(listing.asin, ProductSeen(listing=listing, text=page.name))
            memory.chosen = {}
    elif memory.page.place is Place.ITEM:
        memory.chosen |= {name: target for name, values in page.options.items() if target in values}
    if memory.current:
        memory.current.options = page.options


def _texts(text: str) -> list[str]:
    """The texts of a page, in order, however it is written."""
    if _SEPARATOR in text:
        return [piece.strip() for piece in text.split(_SEPARATOR)]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_CLICKED)]
    return [(marked[1] if (marked := _MARKED.fullmatch(line)) else line).strip() for line in lines] or [""]


def _listings(rows: Sequence[str]) -> Iterator[Listing]:
    for asin, name, price in zip(*(iter(rows),) * 3, strict=False):
        yield Listing(asin=asin, name=name, price=_lower_bound(price))


def _lower_bound(price: str) -> float:
    found = re.match(r"\$(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", price)
    return float(found[1]) if found else 0.0


def _options(texts: Sequence[str], observation: Observation) -> dict[str, tuple[str, ...]]:
    """The options of a product: a name, which cannot be clicked, and its values, which can."""
    options: dict[str, tuple[str, ...]] = {}
    name = ""
    for text in texts:
        if observation.admits(f"click[{text}]") and name:
            options[name] += (text,)
        else:
            name = text
            options[name] = ()
    return options
