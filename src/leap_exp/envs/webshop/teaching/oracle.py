"""The privileged facts of a goal, and the scripted expert that uses and reveals them as the disclosure allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from random import Random

from leap_exp.core.environments import Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import SUCCESS_SCORE, Decision, PrivilegedFacts, View
from leap_exp.envs.disclosure import may_reveal
from leap_exp.envs.webshop.engine import pages
from leap_exp.envs.webshop.engine.goals import NO_LIMIT, Goal
from leap_exp.envs.webshop.engine.products import Product
from leap_exp.envs.webshop.engine.reward import matched_options, purchase_reward
from leap_exp.envs.webshop.engine.shop import PageKind, Shop
from leap_exp.envs.webshop.teaching.expert import expert_action, is_sound
from leap_exp.envs.webshop.teaching.instruction import parse_instruction
from leap_exp.envs.webshop.teaching.memory import Listing, Memory, SeenProduct, recall
from leap_exp.envs.webshop.teaching.reasons import explain, reveal

_CACHED_PRODUCTS = 256


def privileged_facts(task_id: str, goal: Goal, *, price: float) -> PrivilegedFacts:
    """Return what is hidden from the shopper: the parts of ``goal``, and a product that satisfies them.

    The keys of ``data`` are ``attributes``, ``options``, ``price_limit`` (in dollars, or None), ``example`` (the
    product's id) and ``hidden_names`` (its id and name).

    Args:
        task_id: Id of the task.
        goal: Its goal.
        price: The price of the goal's product, in dollars.
    """
    named = goal.options.items() if isinstance(goal.options, Mapping) else (("", value) for value in goal.options)
    options = [f"{name}: {value}" if name else value for name, value in named]
    limit = goal.price_limit if goal.price_limit < NO_LIMIT else None
    lines = [
        f"Attributes: {', '.join(goal.attributes)}",
        f"Options: {', '.join(options) or 'none'}",
        f"Price: {f'under ${limit:.2f}' if limit is not None else 'any'}",
        f"A product that satisfies them: {goal.name} ({goal.asin}), ${price:.2f}",
    ]
    return PrivilegedFacts(
        task_id=task_id,
        text="\n".join(lines),
        data={
            "attributes": list(goal.attributes),
            "options": options,
            "price_limit": limit,
            "example": goal.asin,
            "hidden_names": [goal.asin, goal.name],
        },
    )


class WebShopOracle(Oracle):
    """The scripted expert for ``goal`` in ``shop``."""

    def __init__(self, shop: Shop, goal: Goal) -> None:
        self._shop, self._goal = shop, goal
        self._instruction = parse_instruction(self._goal.instruction)
        self._fitting_options = lru_cache(_CACHED_PRODUCTS)(self._find_fitting_options)
        # For some of the original's synthetic goals, even the right purchase has a reward below 1.
        self._sufficient_reward = min(SUCCESS_SCORE, self._best_purchase(self._goal.row)[1])

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the best action in ``view`` under ``disclosure``, with a reason.

        At NONE it is the action of the history-only expert. At P25 that expert also knows the kind of product. Both
        keep the student's action ``taken`` if it is sound given the history. From P50 on, the action is on the
        shortest way to a product that satisfies the goal. Before that product is open, the reason names it sometimes
        at P75 and always at P100.
        """
        memory = recall(view)
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            kind = self._goal.query if disclosure is Disclosure.P25 else ""
            action = taken if taken is not None and is_sound(view, taken) else expert_action(view, kind=kind)
            return Decision(reason=explain(memory, self._instruction, action, rng=rng), action=action)
        action, product = self._best(memory, view)
        if product and may_reveal(disclosure, rng) and memory.page.kind in (PageKind.SEARCH, PageKind.RESULTS):
            reason = reveal(action, name=product.name, asin=product.asin, rng=rng)
        else:
            reason = explain(memory, self._instruction, action, rng=rng)
        return Decision(reason=reason, action=action)

    def _best(self, memory: Memory, view: View) -> tuple[str, Product | None]:
        """Return the next action and the product it leads to; the expert's action if no search finds a product."""
        kind = memory.page.kind
        if kind is PageKind.ITEM and memory.current:
            return self._finish(memory, memory.current)
        if kind not in (PageKind.SEARCH, PageKind.RESULTS):
            return f"click[{pages.PREVIOUS.lower()}]", None
        query, row = self._search
        if row is None:
            return expert_action(view), None
        product = self._shop.catalogue.product(row)
        if kind is PageKind.SEARCH:
            return f"search[{query}]", product
        if listing := next((each for each in memory.results if self._fits(self._row(each))), None):
            by_name = f"click[{listing.name.lower()}]"
            action = by_name if view.observation.admits(by_name) else f"click[{listing.asin.lower()}]"
            return action, self._shop.catalogue.product(self._row(listing))
        return self._turn_page(memory), product

    def _finish(self, memory: Memory, current: SeenProduct) -> tuple[str, Product | None]:
        """Select options and buy, or leave a product that does not fit."""
        options = self._fitting_options(self._row(current.listing))
        if options is None:
            return f"click[{pages.PREVIOUS.lower()}]", None
        product = self._shop.catalogue.product(self._row(current.listing))
        pending = [value for name, value in options.items() if memory.selected.get(name) != value]
        return f"click[{(pending or [pages.BUY])[0].lower()}]", product

    def _turn_page(self, memory: Memory) -> str:
        """Go towards the nearest page of results with a fitting product, or back to a new search."""
        rows = self._shop.catalogue.search(memory.queries[-1]) if memory.queries else ()
        size = pages.RESULTS_PER_PAGE
        fitting = [rank // size + 1 for rank, row in enumerate(rows) if self._fits(row)]
        if not fitting or memory.page_number in fitting:
            return f"click[{pages.BACK.lower()}]"
        nearest = min(fitting, key=lambda number: abs(number - memory.page_number))
        return f"click[{(pages.NEXT if nearest > memory.page_number else pages.PREVIOUS).lower()}]"

    @cached_property
    def _search(self) -> tuple[str, int | None]:
        """The best query and the row of the first fitting product among its results, or None.

        The first query with a fitting product on the first page is best, starting with the words of the instruction;
        otherwise the one that ranks such a product highest.
        """
        words = " ".join(self._instruction.words)
        queries = (words, f"{words} {self._goal.query}", self._goal.name.lower())
        ranked = [(rank, number) for number, query in enumerate(queries) if (rank := self._rank(query)) is not None]
        if not ranked:
            return queries[0], None
        on_first_page = [found for found in ranked if found[0] < pages.RESULTS_PER_PAGE]
        rank, number = min(on_first_page, key=lambda found: found[1]) if on_first_page else min(ranked)
        return queries[number], self._shop.catalogue.search(queries[number])[rank]

    def _rank(self, query: str) -> int | None:
        """Return the rank, from 0, of the first fitting product among the results of ``query``."""
        rows = self._shop.catalogue.search(query)
        return next((rank for rank, row in enumerate(rows) if self._fits(row)), None)

    def _fits(self, row: int) -> bool:
        return self._fitting_options(row) is not None

    def _row(self, listing: Listing) -> int:
        row = self._shop.catalogue.row(listing.asin)
        return -1 if row is None else row

    def _find_fitting_options(self, row: int) -> Mapping[str, str] | None:
        """Return the options with which the product in ``row`` satisfies the goal, or None if it does not."""
        if row < 0:
            return None
        options, reward = self._best_purchase(row)
        return options if reward >= self._sufficient_reward else None

    def _best_purchase(self, row: int) -> tuple[Mapping[str, str], float]:
        """Return the options to select for the product in ``row``, and the reward of buying it with them."""
        product, target = (self._shop.catalogue.product(each) for each in (row, self._goal.row))
        options = _matching_options(product, self._goal.options)
        price = self._shop.goals.price(row)
        return options, purchase_reward(product, self._goal, target, price=price, selected=options).total


def _matching_options(product: Product, wanted: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Return a value of ``product`` for each wanted option, as matched by the reward."""
    selected: dict[str, str] = {}
    pairs = [{name: value} for name, value in wanted.items()] if isinstance(wanted, Mapping) else [[v] for v in wanted]
    for pair in pairs:
        names = [name for name in pair if name in product.options and name not in selected] or list(product.options)
        fitting = (
            (name, value)
            for name in names
            if name not in selected
            for value in sorted(product.options[name], key=lambda each: each not in _values(pair))
            if matched_options([value], pair)
        )
        if found := next(fitting, None):
            selected[found[0]] = found[1]
    return selected


def _values(pair: Mapping[str, str] | Sequence[str]) -> Sequence[str]:
    return tuple(pair.values()) if isinstance(pair, Mapping) else pair
