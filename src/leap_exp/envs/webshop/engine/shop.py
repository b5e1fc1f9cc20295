"""The shop: an episode is a session in which a shopper searches, compares, selects options and buys.

Any number of sessions, in any number of threads, can share a catalogue and its goals. A session belongs to one thread.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from leap_exp.core.errors import EnvError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.engine import pages
from leap_exp.envs.webshop.engine.catalogue import RESULTS_PER_SEARCH, Catalogue
from leap_exp.envs.webshop.engine.goals import Goal, GoalList
from leap_exp.envs.webshop.engine.pages import ObservationMode, Page
from leap_exp.envs.webshop.engine.products import Product
from leap_exp.envs.webshop.engine.reward import Reward, purchase_reward

_ACTION = re.compile(r"(\w+)\[(.+)\]")
_SUBPAGES = {name.lower(): name for name in pages.SUBPAGES}
_SITE = "http://127.0.0.1:3000"


class PageKind(StrEnum):
    """The kinds of page, as named in the original's addresses, where the search page has no name."""

    SEARCH = ""
    RESULTS = "search_results"
    ITEM = "item_page"
    SUBPAGE = "item_sub_page"
    DONE = "done"


class Available(NamedTuple):
    """The actions that are possible on a page, as the original lists them."""

    has_search_bar: bool
    clickables: tuple[str, ...]


def parse_action(action: str) -> tuple[str, str | None]:
    """Return the name and the argument, in lower case, of an action such as ``search[red shoes]``; None without one.

    What follows the last bracket is ignored, as in the original. The original also takes the name to reach to the last
    opening bracket, so that it cannot click an option such as ``red [large]``; here the name ends at the first one.
    """
    match = _ACTION.match(action)
    return (match[1], match[2].lower()) if match else (action, None)


class Shop:
    """A catalogue with its goals."""

    def __init__(self, catalogue: Catalogue, goals: GoalList) -> None:
        self.catalogue, self.goals = catalogue, goals

    def open(
        self, index: int, *, mode: ObservationMode = ObservationMode.TEXT, seed: int = 0, name: str = "",
        instruction: str = "",
    ) -> Session:  # fmt: skip
        """Start a session for the goal at ``index``.

        Args:
            index: Index of the goal, from 0, in the original's order.
            mode: How pages are written.
            seed: Seed of the results of ``search[<r>]``, the only random part.
            name: The session's name in addresses; by default the index.
            instruction: Shown instead of the goal's instruction, unless it is empty.

        Raises:
            DataError: There is no such goal.
        """
        goal = self.goals.goal(index)
        if instruction:
            goal = replace(goal, instruction=instruction)
        return Session(self, goal, index=index, mode=mode, seed=seed, name=name or str(index))


class Session:
    """One shopper's session with a goal; it ends with a purchase."""

    def __init__(self, shop: Shop, goal: Goal, *, index: int, mode: ObservationMode, seed: int, name: str) -> None:
        self.goal = goal
        self._name = name
        self.reward: Reward | None = None
        self._shop, self._index, self._mode, self._seed = shop, index, mode, seed
        self._keywords: list[str] = []
        self._page_number = 0
        self._product: Product | None = None
        self._product_row = -1
        self._selected: dict[str, str] = {}
        self._visited: set[str] = set()
        self._results: dict[str, int] = {}
        self._show(PageKind.SEARCH, pages.search_page(goal.instruction))

    @property
    def text(self) -> str:
        """The current page, in the session's mode."""
        if self._mode is ObservationMode.TEXT:
            return self._page.as_text()
        return self._page.as_rich_text(address=self._address, visited=self._visited)

    @property
    def available(self) -> Available:
        """The possible actions."""
        return Available(self._page.has_search_bar, self._page.clickables)

    @property
    def page(self) -> Page:
        """The current page."""
        return self._page

    @property
    def address(self) -> str:
        """The address of the current page, as in the original."""
        return self._address

    @property
    def page_kind(self) -> PageKind:
        """The kind of the current page."""
        return self._page_kind

    @property
    def done(self) -> bool:
        """Whether a product was bought."""
        return self.reward is not None

    def reopen(self) -> None:
        """Let the shopper go on after the purchase, as the original does; only a search leads on from there."""
        self.reward = None

    @property
    def product(self) -> Product | None:
        """The product that is open, or was bought."""
        return self._product

    @property
    def results(self) -> Mapping[str, int]:
        """The rows of the products on a page of results, by click target; empty on other pages."""
        return MappingProxyType(self._results if self._page_kind is PageKind.RESULTS else {})

    @property
    def selected(self) -> Mapping[str, str]:
        """The option values selected so far, by option."""
        return MappingProxyType(self._selected)

    def step(self, action: str) -> float:
        """Take ``action`` and return its reward; an impossible action changes nothing.

        As in the original, ``search[...]`` works on every page, and only the argument is case-insensitive.

        Raises:
            EnvError: The session is over.
        """
        if self.done:
            raise EnvError(f"The session is over: {action!r} came after the purchase.")
        name, argument = parse_action(action)
        if argument is not None and name == "search":
            self._search(argument.split(" "), 1)
        elif argument is not None and name == "click" and argument in self._page.clickables and argument != "search":
            self._click(argument)
        return self.reward.total if self.reward else 0.0

    def _click(self, target: str) -> None:
        """Follow ``target``. The order of the cases is the original's; it matters for options named like buttons."""
        came_from = self._kind_in_address()
        if target == pages.BUY.lower():
            self._buy()
        elif target == pages.BACK.lower():
            self._restart()
        elif target == pages.NEXT.lower() and came_from is PageKind.RESULTS:
            self._search(self._keywords, self._page_number + 1)
        elif target == pages.PREVIOUS.lower() and came_from is PageKind.RESULTS:
            self._search(self._keywords, self._page_number - 1)
        elif target == pages.PREVIOUS.lower() and came_from is PageKind.ITEM:
            self._search(self._keywords, self._page_number)
        elif target in _SUBPAGES:
            name = _SUBPAGES[target]
            page = pages.sub_page(self.goal.instruction, self._open_product(), name)
            self._show(PageKind.SUBPAGE, page, subpage=name)
        else:
            self._show_item(target)

    def _restart(self) -> None:
        self._keywords, self._page_number, self._product, self._selected = [], 0, None, {}
        self._visited = set()
        self._show(PageKind.SEARCH, pages.search_page(self.goal.instruction))

    def _search(self, keywords: list[str], number: int) -> None:
        self._keywords, self._page_number, self._product, self._selected = keywords, number, None, {}
        rows = self._found(keywords)
        size = pages.RESULTS_PER_PAGE
        shown = rows[(number - 1) * size : number * size]
        products = [self._shop.catalogue.product(row) for row in shown]
        self._results = {product.asin.lower(): row for product, row in zip(products, shown, strict=True)}
        page = pages.results_page(self.goal.instruction, products, number=number, total=len(rows))
        self._show(PageKind.RESULTS, page)

    def _found(self, keywords: list[str]) -> Sequence[int]:
        """Return the rows that a query finds, including the original's undocumented commands.

        ``<c>`` and ``<q>`` list the products of a category or a query, ``<r>`` draws some at random. ``<a>``, and the
        other commands without an argument, crash the original; here they find nothing.
        """
        catalogue = self._shop.catalogue
        command, rest = keywords[0], keywords[1:]
        if command == "<r>":
            rng = random.Random(derive_seed(self._seed, "webshop", self._index))
            return rng.sample(range(len(catalogue)), min(RESULTS_PER_SEARCH, len(catalogue)))
        if command == "<a>":
            return ()
        if command == "<c>":
            return catalogue.rows_labelled("category", rest[0].strip()) if rest else ()
        if command == "<q>":
            return catalogue.rows_labelled("query", " ".join(rest).strip())
        return catalogue.search(" ".join(keywords))

    def _show_item(self, target: str) -> None:
        """Open the product ``target``, select the option value ``target``, or return to the open product."""
        if target in self.results:
            self._product_row = self.results[target]
            self._product = self._shop.catalogue.product(self._product_row)
            self._visited.add(self._product.asin)
        elif target in self._page.option_names:
            self._selected[self._page.option_names[target]] = target
        self._show(PageKind.ITEM, pages.item_page(self.goal.instruction, self._open_product()))

    def _buy(self) -> None:
        product = self._open_product()
        self.reward = purchase_reward(
            product,
            self.goal,
            self._shop.catalogue.product(self.goal.row),
            price=self._shop.goals.price(self._product_row),
            selected=self._selected,
        )
        self._show(PageKind.DONE, pages.purchase_page(product, self._selected, self.reward.total))

    def _open_product(self) -> Product:
        if self._product is None:
            raise EnvError(f"No product is open at {self._address}: please report this bug.")
        return self._product

    def _show(self, kind: PageKind, page: Page, *, subpage: str = "") -> None:
        """Show ``page`` and set its address, built like in the original."""
        self._page, self._page_kind = page, kind
        parts = [_SITE, kind, self._name] if kind else [_SITE, self._name]
        if kind in (PageKind.ITEM, PageKind.SUBPAGE, PageKind.DONE) and self._product:
            parts.append(self._product.asin)
        if kind in (PageKind.RESULTS, PageKind.ITEM, PageKind.SUBPAGE):
            parts += ["+".join(self._keywords), str(self._page_number)]
        if kind is PageKind.ITEM:
            parts.append(json.dumps(self._selected))
        elif kind is PageKind.SUBPAGE:
            parts += [subpage, str(self._selected)]
        elif kind is PageKind.DONE:
            parts.append(str(self._selected))
        self._address = "/".join(parts)

    def _kind_in_address(self) -> PageKind:
        """Return the kind of page that the original takes this one for: the first whose name is in the address.

        The address contains the query and the selected options, so a query such as "done" can mislead it.
        """
        return next((kind for kind in PageKind if kind and kind in self._address), PageKind.SEARCH)
