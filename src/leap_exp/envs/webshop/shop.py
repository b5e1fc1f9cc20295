"""The shop: an episode is a session in which somebody searches, looks, chooses and buys.

A catalogue and its goals serve any number of sessions, in any number of threads; a session belongs to one thread.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from leap_exp.core.errors import EnvError
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop import pages
from leap_exp.envs.webshop.catalogue import RESULTS_OF_A_SEARCH, Catalogue
from leap_exp.envs.webshop.goals import Goal, GoalList
from leap_exp.envs.webshop.pages import ObservationMode, Page
from leap_exp.envs.webshop.product import Product
from leap_exp.envs.webshop.reward import Reward, purchase_reward

_ACTION = re.compile(r"(.+)\[(.+)\]")
_SUBPAGES = {name.lower(): name for name in pages.SUBPAGES}
_SITE = "http://127.0.0.1:3000"


class Place(StrEnum):
    """The kinds of page, as they stand in the original's addresses; its first page has no name there."""

    SEARCH = ""
    RESULTS = "search_results"
    ITEM = "item_page"
    SUBPAGE = "item_sub_page"
    DONE = "done"


class Available(NamedTuple):
    """What can be done on a page, as the original lists it."""

    has_search_bar: bool
    clickables: tuple[str, ...]


def parse_action(action: str) -> tuple[str, str | None]:
    """The name and the argument, in lower case, of an action such as ``search[red shoes]``; None if it has none."""
    match = _ACTION.match(action)
    return (match[1], match[2].lower()) if match else (action, None)


class Shop:
    """A catalogue with the goals to shop for."""

    def __init__(self, catalogue: Catalogue, goals: GoalList) -> None:
        self.catalogue, self.goals = catalogue, goals

    def open(self, index: int, *, mode: ObservationMode = ObservationMode.TEXT, seed: int = 0) -> Session:
        """Start a session for the goal at ``index``.

        Args:
            index: Counted from 0 in the original's order.
            mode: How pages are written.
            seed: Of what ``search[<r>]`` finds, the one thing here that is random.

        Raises:
            DataError: There is no such goal.
        """
        return Session(self, self.goals.goal(index), index=index, mode=mode, seed=seed)


class Session:
    """A visit to the shop with a goal in mind; it is over with a purchase."""

    def __init__(self, shop: Shop, goal: Goal, *, index: int, mode: ObservationMode, seed: int) -> None:
        self.goal = goal
        self.reward: Reward | None = None
        self._shop, self._index, self._mode, self._seed = shop, index, mode, seed
        self._keywords: list[str] = []
        self._page_number = 0
        self._product: Product | None = None
        self._product_row = -1
        self._chosen: dict[str, str] = {}
        self._visited: set[str] = set()
        self._results: dict[str, int] = {}
        self._page = self._enter(Place.SEARCH, pages.search_page(goal.instruction))

    @property
    def text(self) -> str:
        """The page, in the session's mode."""
        if self._mode is ObservationMode.TEXT:
            return self._page.as_text()
        return self._page.as_rich_text(address=self._address, visited=self._visited)

    @property
    def available(self) -> Available:
        """What can be done."""
        return Available(self._page.has_search_bar, self._page.clickables)

    @property
    def page(self) -> Page:
        """What is shown, piece by piece."""
        return self._page

    @property
    def place(self) -> Place:
        """The kind of page that is shown."""
        return self._place

    @property
    def done(self) -> bool:
        """Whether something was bought."""
        return self.reward is not None

    @property
    def product(self) -> Product | None:
        """The product that is being looked at, or was bought."""
        return self._product

    @property
    def results(self) -> Mapping[str, int]:
        """The rows of the products on a page of results, by what one clicks; empty on other pages."""
        return MappingProxyType(self._results if self._place is Place.RESULTS else {})

    @property
    def chosen(self) -> Mapping[str, str]:
        """The options chosen so far, by name."""
        return MappingProxyType(self._chosen)

    def step(self, action: str) -> float:
        """Carry out ``action`` and return its reward; what cannot be done changes nothing.

        As in the original, ``search[...]`` works on every page, and only the argument's case does not matter.

        Raises:
            EnvError: The session is over.
        """
        if self.done:
            raise EnvError(f"The session is over: {action!r} comes after the purchase.")
        name, argument = parse_action(action)
        if argument is not None and name == "search":
            self._search(argument.split(" "), 1)
        elif argument is not None and name == "click" and argument in self._page.clickables and argument != "search":
            self._click(argument)
        return self.reward.total if self.reward else 0.0

    def _click(self, target: str) -> None:
        """Follow ``target``; the order of the cases is the original's, for options may be called like buttons."""
        came_from = self._named_in_address()
        if target == pages.BUY.lower():
            self._buy()
        elif target == pages.BACK.lower():
            self._restart()
        elif target == pages.NEXT.lower() and came_from is Place.RESULTS:
            self._search(self._keywords, self._page_number + 1)
        elif target == pages.PREVIOUS.lower() and came_from is Place.RESULTS:
            self._search(self._keywords, self._page_number - 1)
        elif target == pages.PREVIOUS.lower() and came_from is Place.ITEM:
            self._search(self._keywords, self._page_number)
        elif target in _SUBPAGES:
            self._show_subpage(_SUBPAGES[target])
        else:
            self._show_item(target)

    def _restart(self) -> None:
        self._keywords, self._page_number, self._product, self._chosen = [], 0, None, {}
        self._visited = set()
        self._page = self._enter(Place.SEARCH, pages.search_page(self.goal.instruction))

    def _search(self, keywords: list[str], number: int) -> None:
        self._keywords, self._page_number, self._product, self._chosen = keywords, number, None, {}
        rows = self._found(keywords)
        size = pages.RESULTS_ON_A_PAGE
        shown = rows[(number - 1) * size : number * size]
        products = [self._shop.catalogue.product(row) for row in shown]
        self._results = {product.asin.lower(): row for product, row in zip(products, shown, strict=True)}
        page = pages.results_page(self.goal.instruction, products, number=number, total=len(rows))
        self._page = self._enter(Place.RESULTS, page)

    def _found(self, keywords: list[str]) -> Sequence[int]:
        """The rows that a query finds, those of the original's undocumented commands included.

        ``<c>`` and ``<q>`` list a category or the products of a query, ``<r>`` draws some. ``<a>``, and the others
        without what they need, crash the original; here they find nothing.
        """
        catalogue = self._shop.catalogue
        command, rest = keywords[0], keywords[1:]
        if command == "<r>":
            rng = random.Random(derive_seed(self._seed, "webshop", self._index))
            return rng.sample(range(len(catalogue)), min(RESULTS_OF_A_SEARCH, len(catalogue)))
        if command == "<a>":
            return ()
        if command == "<c>":
            return catalogue.rows_labelled("category", rest[0].strip()) if rest else ()
        if command == "<q>":
            return catalogue.rows_labelled("query", " ".join(rest).strip())
        return catalogue.search(" ".join(keywords))

    def _show_item(self, target: str) -> None:
        """Look at the product ``target``, choose the option of that name, or come back to the product."""
        if target in self.results:
            self._product_row = self.results[target]
            self._product = self._shop.catalogue.product(self._product_row)
            self._visited.add(self._product.asin)
        elif target in self._page.option_names:
            self._chosen[self._page.option_names[target]] = target
        self._page = self._enter(Place.ITEM, pages.item_page(self.goal.instruction, self._bought()))

    def _show_subpage(self, name: str) -> None:
        page = pages.sub_page(self.goal.instruction, self._bought(), name)
        self._page = self._enter(Place.SUBPAGE, page, subpage=name)

    def _buy(self) -> None:
        product = self._bought()
        self.reward = purchase_reward(
            product,
            self.goal,
            self._shop.catalogue.product(self.goal.row),
            price=self._shop.goals.price(self._product_row),
            chosen=self._chosen,
        )
        self._page = self._enter(Place.DONE, pages.purchase_page(product, self._chosen, self.reward.total))

    def _bought(self) -> Product:
        if self._product is None:
            raise EnvError("No product is open, though a page of one was: this is an error of the shop.")
        return self._product

    def _enter(self, place: Place, page: Page, *, subpage: str = "") -> Page:
        """Note the page's address, as the original makes it."""
        self._place = place
        parts = [_SITE, place, str(self._index)] if place else [_SITE, str(self._index)]
        if place in (Place.ITEM, Place.SUBPAGE, Place.DONE) and self._product:
            parts.append(self._product.asin)
        if place in (Place.RESULTS, Place.ITEM, Place.SUBPAGE):
            parts += ["+".join(self._keywords), str(self._page_number)]
        if place is Place.ITEM:
            parts.append(json.dumps(self._chosen))
        elif place is Place.SUBPAGE:
            parts += [subpage, str(self._chosen)]
        self._address = "/".join(parts)
        return page

    def _named_in_address(self) -> Place:
        """The kind of page that the original takes this one for: the first whose name stands in the address.

        The address holds the query and the chosen options, so that a query such as "done" can mislead it.
        """
        return next((place for place in Place if place and place in self._address), Place.SEARCH)
