"""What a shopper remembers of its history: results, opened products and selected options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from leap_exp.core.types import Observation, View
from leap_exp.envs.webshop.engine import pages
from leap_exp.envs.webshop.engine.shop import PageKind, parse_action

_SEPARATOR = " [SEP] "
_MARKED = re.compile(r"\s*\[(?:clicked )?button\] (.*) \[(?:clicked )?button_\]")
_CLICKED = "You have clicked "
_HEAD, _ITEM_TAIL = 4, 7
"""Number of texts before a product's options (up to ``< Prev``), and after them (from its name on)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A product in a list of results; ``price`` is the lower bound, in dollars."""

    asin: str
    name: str
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPage:
    """The content of an observation; only the fields of its kind of page are set.

    Attributes:
        kind: The kind of page.
        listings: The products on a page of results.
        name: The name of the product on its page.
        options: The options of the product on its page.
        text: The text of a page with details of a product.
    """

    kind: PageKind
    listings: tuple[Listing, ...] = ()
    name: str = ""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    text: str = ""


@dataclass(slots=True)
class SeenProduct:
    """A product that was opened: the texts of its pages, its options, and the names of the detail pages read."""

    listing: Listing
    text: str
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Memory:
    """What a shopper knows after its history.

    Attributes:
        page: The current page.
        page_number: Number of the current page of results, or of the one on which the product was found; 0 if none.
        results: The results on that page.
        queries: All queries so far.
        products: The opened products by id, in the order in which they were opened first.
        current: The open product.
        selected: The selected option values of the open product, by option.
    """

    page: SeenPage
    page_number: int = 0
    results: tuple[Listing, ...] = ()
    queries: list[str] = field(default_factory=list)
    products: dict[str, SeenProduct] = field(default_factory=dict)
    current: SeenProduct | None = None
    selected: dict[str, str] = field(default_factory=dict)

    def listed(self, target: str) -> Listing | None:
        """Return the result that ``click[target]`` opens, by its id or its name, or None."""
        wanted = target.lower()
        return next((each for each in self.results if wanted in (each.asin.lower(), each.name.lower())), None)


def recall(view: View) -> Memory:
    """Return what the agent of ``view`` remembers."""
    memory = Memory(page=read_page(view.history[0].observation if view.history else view.observation))
    for action, observation in _transitions(view):
        page = read_page(observation)
        _update(memory, action, page)
        memory.page = page
    return memory


@lru_cache(maxsize=16384)
def read_page(observation: Observation) -> SeenPage:
    """Parse an observation of either mode."""
    texts = _texts(observation.text)
    if texts[0] == "WebShop":
        return SeenPage(kind=PageKind.SEARCH)
    if texts[0] != "Instruction:":
        return SeenPage(kind=PageKind.DONE)
    if texts[3].startswith("Page "):
        rows = [text for text in texts[4:] if text not in (pages.PREVIOUS, pages.NEXT)]
        return SeenPage(kind=PageKind.RESULTS, listings=tuple(_listings(rows)))
    if texts[-1] != pages.BUY:
        return SeenPage(kind=PageKind.SUBPAGE, text="\n".join(texts[_HEAD:]))
    options = _options(texts[_HEAD:-_ITEM_TAIL], observation)
    return SeenPage(kind=PageKind.ITEM, name=texts[-_ITEM_TAIL], options=options)


def _transitions(view: View) -> Iterator[tuple[str, Observation]]:
    """Yield each action with the observation after it."""
    shown = [*(step.observation for step in view.history), view.observation]
    for step, observation in zip(view.history, shown[1:], strict=True):
        yield step.action, observation


def _update(memory: Memory, action: str, page: SeenPage) -> None:
    """Add what ``action`` led to."""
    name, argument = parse_action(action)
    if page.kind is PageKind.RESULTS:
        _enter_results(memory, page, query=argument if name == "search" else None, argument=argument or "")
    elif page.kind is PageKind.SEARCH:
        memory.current, memory.selected, memory.results, memory.page_number = None, {}, (), 0
    elif page.kind is PageKind.ITEM:
        _enter_item(memory, page, action)
    elif page.kind is PageKind.SUBPAGE and memory.current and argument not in memory.current.read:
        memory.current.read.add(argument or "")
        memory.current.text += f"\n{page.text}"


def _enter_results(memory: Memory, page: SeenPage, *, query: str | None, argument: str) -> None:
    if query is not None:
        memory.queries.append(query)
        memory.page_number = 1
    elif memory.page.kind is PageKind.RESULTS:
        memory.page_number += {pages.NEXT.lower(): 1, pages.PREVIOUS.lower(): -1}.get(argument, 0)
    memory.results, memory.current, memory.selected = page.listings, None, {}


def _enter_item(memory: Memory, page: SeenPage, action: str) -> None:
    target = action.removeprefix("click[").removesuffix("]")
    if memory.page.kind is PageKind.RESULTS:
        if listing := memory.listed(target):
            memory.current = memory.products.setdefault(listing.asin, SeenProduct(listing=listing, text=page.name))
            memory.selected = {}
    elif memory.page.kind is PageKind.ITEM:
        memory.selected |= {name: target for name, values in page.options.items() if target in values}
    if memory.current:
        memory.current.options = page.options


def _texts(text: str) -> list[str]:
    """Return the texts of a page of either mode, in order."""
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
    """Return a product's options: texts that can be clicked are values of the option named before them."""
    options: dict[str, tuple[str, ...]] = {}
    name = ""
    for text in texts:
        if observation.admits(f"click[{text}]") and name:
            options[name] += (text,)
        else:
            name = text
            options[name] = ()
    return options
