"""A shopper that knows only its history: it searches for what is asked, compares a few results and buys the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leap_exp.core.errors import EnvError
from leap_exp.core.types import View
from leap_exp.envs.webshop import pages
from leap_exp.envs.webshop.analysis import terms
from leap_exp.envs.webshop.memory import Listing, Memory, ProductSeen, recall
from leap_exp.envs.webshop.request import Request, read_request
from leap_exp.envs.webshop.shop import Place, parse_action

LOOKS = 2
"""How many products of a list are looked at before one is bought: fifteen actions are enough for that many."""

_PAGES = 3
"""How many pages of results are looked through for something that can be afforded."""
_SOUND_SHARE = 2 / 3
"""A query with this share of the terms that are asked for, and no others, is as good as one with all."""


def expert_action(view: View, *, kind: str = "") -> str:
    """The next action towards the purchase in ``view``; always one that it admits.

    ``kind`` are words for the kind of product, to search for and to look out for beside those of the instruction.

    Raises:
        EnvError: Nothing can be done in ``view``.
    """
    return _Turn(view, kind).ways()[0]


def is_sound(view: View, action: str) -> bool:
    """Whether ``action`` is as good as the expert's, as far as the history of ``view`` tells.

    Which of two results that match alike to look at, or which option to choose first, is a matter of taste; so are the
    words left out of a query.

    Raises:
        EnvError: As for ``expert_action``.
    """
    turn = _Turn(view, "")
    name, query = parse_action(action)
    if name == "search" and query and turn.memory.page.place is Place.SEARCH:
        asked = set(terms(query))
        return asked <= turn.request.terms and len(asked) >= _SOUND_SHARE * len(turn.request.terms)
    return action in turn.ways()


def missing_terms(product: ProductSeen, request: Request) -> frozenset[str]:
    """The terms of ``request`` that nothing known of ``product`` has, its options included."""
    values = " ".join(value for offered in product.options.values() for value in offered)
    return request.missing(f"{product.text}\n{values}")


def wanted_options(options: Mapping[str, tuple[str, ...]], request: Request) -> dict[str, str]:
    """The values to choose of ``options``: those that are asked for word by word."""
    chosen: dict[str, str] = {}
    for name, values in options.items():
        value = request.choice(values)
        # Of two options with the same value the shop chooses the later one.
        if value is not None:
            chosen = {other: taken for other, taken in chosen.items() if taken != value} | {name: value}
    return chosen


class _Turn:
    """One decision. Its methods return actions that are equally good as far as the history tells, the best first."""

    def __init__(self, view: View, kind: str) -> None:
        if not view.observation.admissible_actions:
            raise EnvError(f"{view.task.id}: nothing can be done on this page.")
        self.request: Request = read_request(view.task.instruction)
        self.memory: Memory = recall(view)
        self._offers: tuple[str, ...] = view.observation.admissible_actions
        self._kind = kind

    def ways(self) -> list[str]:
        """The actions that serve the request now; at least one."""
        place = self.memory.page.place
        if place is Place.SEARCH:
            return [f"search[{self._query()}]"]
        if place is Place.RESULTS:
            return self._choose_result()
        if place is Place.ITEM and self.memory.current:
            return self._judge(self.memory.current)
        return [self._click(pages.PREVIOUS)]

    def _query(self) -> str:
        """All that is asked for; once that has been searched for in vain, less and less of it."""
        words = [*self.request.words]
        words += [word for word in self._kind.split() if not set(terms(word)) <= self.request.terms]
        if not words:
            return self.request.text
        left = max(1, len(words) - len(self.memory.queries))
        return " ".join(words[:left])

    def _choose_result(self) -> list[str]:
        memory = self.memory
        candidates = self._candidates()
        looked_at = self._looked_at()
        if looked_at and (len(looked_at) >= LOOKS or not candidates):
            return [self._open(self._best(looked_at).listing)]
        if candidates:
            ranked = sorted(candidates, key=self._coverage, reverse=True)
            alike = [each for each in ranked if self._coverage(each) == self._coverage(ranked[0])]
            return [self._open(each) for each in alike]
        further = f"click[{pages.NEXT.lower()}]"
        if memory.results and memory.page_number < _PAGES and further in self._offers:
            return [further]
        if memory.results and len(memory.queries) > 1:
            return [self._open(memory.results[0])]
        return [self._click(pages.BACK)]

    def _judge(self, product: ProductSeen) -> list[str]:
        """Read on, look at another one, choose options, or buy."""
        features = pages.SUBPAGES[1]
        missing = missing_terms(product, self.request)
        if missing and features.lower() not in product.read:
            return [self._click(features)]
        looked_at = self._looked_at()
        others = [each for each in self._candidates() if self._coverage(each) >= self._coverage(product.listing) - 1]
        if missing and len(looked_at) < LOOKS and others:
            return [self._click(pages.PREVIOUS)]
        if looked_at and self._best(looked_at) is not product:
            return [self._click(pages.PREVIOUS)]
        wanted = wanted_options(product.options, self.request)
        pending = [value for name, value in wanted.items() if self.memory.chosen.get(name) != value]
        return [self._click(value) for value in pending] or [self._click(pages.BUY)]

    def _candidates(self) -> list[Listing]:
        """The results on the page that were not looked at and can be afforded."""
        seen = self.memory.products
        return [each for each in self.memory.results if each.asin not in seen and self.request.affords(each.price)]

    def _looked_at(self) -> list[ProductSeen]:
        listed = {each.asin for each in self.memory.results}
        return [product for asin, product in self.memory.products.items() if asin in listed]

    def _best(self, products: Sequence[ProductSeen]) -> ProductSeen:
        """The product that lacks least, among those that can be afforded if there are any."""
        return min(
            products,
            key=lambda each: (not self.request.affords(each.listing.price), len(missing_terms(each, self.request))),
        )

    def _coverage(self, listing: Listing) -> int:
        """How many of the terms that are asked for the name has."""
        wanted = self.request.terms.union(terms(self._kind))
        return len(wanted.intersection(terms(listing.name)))

    def _open(self, listing: Listing) -> str:
        named = f"click[{listing.name.lower()}]"
        return named if named in self._offers else f"click[{listing.asin.lower()}]"

    def _click(self, target: str) -> str:
        action = f"click[{target.lower()}]"
        # A page without the button is one that the reading above took for another: leave it by any way there is.
        return action if action in self._offers else self._offers[0]
