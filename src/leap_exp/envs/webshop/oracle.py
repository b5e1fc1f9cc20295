"""The scripted expert of one goal, which uses and discloses what it knows as the disclosure allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from random import Random

from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import SUCCESS_SCORE, Decision, View
from leap_exp.envs.webshop import pages
from leap_exp.envs.webshop.expert import expert_action, is_sound
from leap_exp.envs.webshop.memory import Listing, Memory, ProductSeen, recall
from leap_exp.envs.webshop.product import Product
from leap_exp.envs.webshop.reasons import disclose, explain
from leap_exp.envs.webshop.request import read_request
from leap_exp.envs.webshop.reward import matched_options, purchase_reward
from leap_exp.envs.webshop.shop import Place, Shop

P75_SHARE = 0.25
"""How often a reason at P75 names the product that fits."""

_PRODUCTS_IN_MEMORY = 256


class WebShopOracle:
    """Decides for the views of the goal at ``index`` of ``shop``; an ``Oracle``."""

    def __init__(self, shop: Shop, index: int) -> None:
        self._shop, self._goal = shop, shop.goals.goal(index)
        self._request = read_request(self._goal.instruction)
        self._serving = lru_cache(_PRODUCTS_IN_MEMORY)(self._serving_options)
        # Some of the original's synthetic goals are worth less than 1 even if their own product is bought as asked.
        self._enough = min(SUCCESS_SCORE, self._best_purchase(self._goal.row)[1])

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """The best action in ``view`` under ``disclosure``, with a reason.

        At NONE it is the history-only expert's. At P25 that expert also knows the kind of product. Both leave what the
        student has ``taken`` if that is sound as far as the history tells. From P50 on it leads the shortest way to a
        product that satisfies the goal; the reason names it now and then at P75, and at P100 until it is open.
        """
        memory = recall(view)
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            kind = self._goal.query if disclosure is Disclosure.P25 else ""
            action = taken if taken is not None and is_sound(view, taken) else expert_action(view, kind=kind)
            return Decision(reason=explain(memory, self._request, action, rng=rng), action=action)
        action, product = self._best(memory, view)
        if product and _may_tell(disclosure, rng) and memory.page.place in (Place.SEARCH, Place.RESULTS):
            reason = disclose(action, name=product.name, asin=product.asin, rng=rng)
        else:
            reason = explain(memory, self._request, action, rng=rng)
        return Decision(reason=reason, action=action)

    def _best(self, memory: Memory, view: View) -> tuple[str, Product | None]:
        """The next action to a purchase that satisfies, and what is bought; the expert's if no search finds one."""
        place = memory.page.place
        if place is Place.ITEM and memory.current:
            return self._finish(memory, memory.current)
        if place not in (Place.SEARCH, Place.RESULTS):
            return f"click[{pages.PREVIOUS.lower()}]", None
        query, row = self._search
        if row is None:
            return expert_action(view), None
        product = self._shop.catalogue.product(row)
        if place is Place.SEARCH:
            return f"search[{query}]", product
        if listing := next((each for each in memory.results if self._serves(each)), None):
            named = f"click[{listing.name.lower()}]"
            action = named if view.observation.admits(named) else f"click[{listing.asin.lower()}]"
            return action, self._shop.catalogue.product(self._row(listing))
        return self._turn_page(memory), product

    def _finish(self, memory: Memory, current: ProductSeen) -> tuple[str, Product | None]:
        """Choose the options and buy, or leave a product that does not fit."""
        options = self._serving(self._row(current.listing))
        if options is None:
            return f"click[{pages.PREVIOUS.lower()}]", None
        product = self._shop.catalogue.product(self._row(current.listing))
        pending = [value for name, value in options.items() if memory.chosen.get(name) != value]
        return f"click[{(pending or [pages.BUY])[0].lower()}]", product

    def _turn_page(self, memory: Memory) -> str:
        """Towards a page of the same search that lists what fits, or back to a new search."""
        rows = self._shop.catalogue.search(memory.queries[-1]) if memory.queries else ()
        size = pages.RESULTS_ON_A_PAGE
        fitting = [place // size + 1 for place, row in enumerate(rows) if self._serving(row) is not None]
        if not fitting or memory.page_number in fitting:
            return f"click[{pages.BACK.lower()}]"
        nearest = min(fitting, key=lambda number: abs(number - memory.page_number))
        # The way back from the start is a new search, as quick as a page.
        return f"click[{(pages.NEXT if nearest > memory.page_number else pages.PREVIOUS).lower()}]"

    @cached_property
    def _search(self) -> tuple[str, int | None]:
        """The query after which a product that fits stands highest, in the words of the instruction if they do."""
        words = " ".join(self._request.words)
        queries = (words, f"{words} {self._goal.query}", self._goal.name.lower())
        ranked = [(place, number) for number, query in enumerate(queries) if (place := self._first(query)) is not None]
        if not ranked:
            return queries[0], None
        on_first_page = [found for found in ranked if found[0] < pages.RESULTS_ON_A_PAGE]
        place, number = min(on_first_page, key=lambda found: found[1]) if on_first_page else min(ranked)
        return queries[number], self._shop.catalogue.search(queries[number])[place]

    def _first(self, query: str) -> int | None:
        """The place, counted from 0, of the first product that fits among what ``query`` finds."""
        rows = self._shop.catalogue.search(query)
        return next((place for place, row in enumerate(rows) if self._serving(row) is not None), None)

    def _serves(self, listing: Listing) -> bool:
        return self._serving(self._row(listing)) is not None

    def _row(self, listing: Listing) -> int:
        row = self._shop.catalogue.row(listing.asin)
        return -1 if row is None else row

    def _serving_options(self, row: int) -> Mapping[str, str] | None:
        """The options with which the product in ``row`` satisfies the goal; None if it does not."""
        if row < 0:
            return None
        chosen, reward = self._best_purchase(row)
        return chosen if reward >= self._enough else None

    def _best_purchase(self, row: int) -> tuple[Mapping[str, str], float]:
        """The options to choose of the product in ``row``, and what buying it with them is worth."""
        product, target = (self._shop.catalogue.product(each) for each in (row, self._goal.row))
        chosen = _matching(product, self._goal.options)
        price = self._shop.goals.price(row)
        return chosen, purchase_reward(product, self._goal, target, price=price, chosen=chosen).total


def _matching(product: Product, wanted: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """For each option that is wanted, the value of ``product`` that the reward takes for it."""
    chosen: dict[str, str] = {}
    pairs = [{name: value} for name, value in wanted.items()] if isinstance(wanted, Mapping) else [[v] for v in wanted]
    for pair in pairs:
        names = [name for name in pair if name in product.options and name not in chosen] or list(product.options)
        fitting = (
            (name, value)
            for name in names
            if name not in chosen
            for value in sorted(product.options[name], key=lambda each: each not in _values(pair))
            if matched_options([value], pair)
        )
        if found := next(fitting, None):
            chosen[found[0]] = found[1]
    return chosen


def _values(pair: Mapping[str, str] | Sequence[str]) -> Sequence[str]:
    return tuple(pair.values()) if isinstance(pair, Mapping) else pair


def _may_tell(disclosure: Disclosure, rng: Random) -> bool:
    return disclosure is Disclosure.P100 or (disclosure is Disclosure.P75 and rng.random() < P75_SHARE)
