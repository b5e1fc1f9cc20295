"""An expert that only knows the history: it searches, compares a few results and buys the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leap_exp.core.errors import EnvError
from leap_exp.core.types import View
from leap_exp.envs.webshop.engine import pages
from leap_exp.envs.webshop.engine.analysis import terms
from leap_exp.envs.webshop.engine.shop import PageKind, parse_action
from leap_exp.envs.webshop.teaching.instruction import ParsedInstruction, parse_instruction
from leap_exp.envs.webshop.teaching.memory import Listing, Memory, SeenProduct, recall

COMPARED_PRODUCTS = 2
"""Number of products of a list that are opened before one is bought; fifteen actions are enough for this."""

_MAX_RESULT_PAGES = 3
"""Number of pages of results that are searched for an affordable product."""

_SOUND_SHARE = 2 / 3
"""A query is as good as the expert's if it has this share of the instruction's terms and no others."""


def expert_action(view: View, *, kind: str = "") -> str:
    """Return the next action towards a purchase; it is always admissible.

    Args:
        view: What the student sees.
        kind: Words for the kind of product, used in addition to those of the instruction.

    Raises:
        EnvError: ``view`` has no admissible actions.
    """
    return _Choice(view, kind).actions()[0]


def is_sound(view: View, action: str) -> bool:
    """Return whether ``action`` is as good as the expert's, given the history.

    Which of two equally matching results to open, which option to select first, and which words to leave out of a
    query are arbitrary choices.

    Raises:
        EnvError: ``view`` has no admissible actions.
    """
    choice = _Choice(view, "")
    name, query = parse_action(action)
    if name == "search" and query and choice.memory.page.kind is PageKind.SEARCH:
        searched, wanted = set(terms(query)), choice.instruction.terms
        return searched <= wanted and len(searched) >= _SOUND_SHARE * len(wanted)
    return action in choice.actions()


def missing_terms(product: SeenProduct, instruction: ParsedInstruction) -> frozenset[str]:
    """Return the terms of ``instruction`` that appear neither in the product's pages nor in its options."""
    values = " ".join(value for offered in product.options.values() for value in offered)
    return instruction.missing_terms(f"{product.text}\n{values}")


def wanted_options(options: Mapping[str, tuple[str, ...]], instruction: ParsedInstruction) -> dict[str, str]:
    """Return the values of ``options`` to select: those that the instruction contains word for word."""
    wanted: dict[str, str] = {}
    for name, values in options.items():
        value = instruction.named_value(values)
        # If two options have the same value, the shop selects the later one.
        if value is not None:
            wanted = {other: taken for other, taken in wanted.items() if taken != value} | {name: value}
    return wanted


class _Choice:
    """One decision. Its methods return equally good actions, given the history, in order of preference."""

    def __init__(self, view: View, kind: str) -> None:
        if not view.observation.admissible_actions:
            raise EnvError(f"{view.task.id}: this page has no admissible actions: {view.observation.text[:80]!r}.")
        self.instruction = parse_instruction(view.task.instruction)
        self.memory: Memory = recall(view)
        self._admissible: tuple[str, ...] = view.observation.admissible_actions
        self._kind = kind

    def actions(self) -> list[str]:
        """Return the best actions; at least one."""
        kind = self.memory.page.kind
        if kind is PageKind.SEARCH:
            return [f"search[{self._query()}]"]
        if kind is PageKind.RESULTS:
            return self._choose_result()
        if kind is PageKind.ITEM and self.memory.current:
            return self._judge(self.memory.current)
        return [self._click(pages.PREVIOUS)]

    def _query(self) -> str:
        """Return all words of the instruction, and one less for each query so far."""
        words = [*self.instruction.words]
        words += [word for word in self._kind.split() if not set(terms(word)) <= self.instruction.terms]
        if not words:
            return self.instruction.text
        count = max(1, len(words) - len(self.memory.queries))
        return " ".join(words[:count])

    def _choose_result(self) -> list[str]:
        memory = self.memory
        candidates = self._candidates()
        opened = self._opened()
        if opened and (len(opened) >= COMPARED_PRODUCTS or not candidates):
            return [self._open(self._best(opened).listing)]
        if candidates:
            ranked = sorted(candidates, key=self._coverage, reverse=True)
            best = [each for each in ranked if self._coverage(each) == self._coverage(ranked[0])]
            return [self._open(each) for each in best]
        next_page = f"click[{pages.NEXT.lower()}]"
        if memory.results and memory.page_number < _MAX_RESULT_PAGES and next_page in self._admissible:
            return [next_page]
        if memory.results and len(memory.queries) > 1:
            return [self._open(memory.results[0])]
        return [self._click(pages.BACK)]

    def _judge(self, product: SeenProduct) -> list[str]:
        """Read the features, open another product, select options, or buy."""
        features = pages.SUBPAGES[1]
        missing = missing_terms(product, self.instruction)
        if missing and features.lower() not in product.read:
            return [self._click(features)]
        opened = self._opened()
        others = [each for each in self._candidates() if self._coverage(each) >= self._coverage(product.listing) - 1]
        if missing and len(opened) < COMPARED_PRODUCTS and others:
            return [self._click(pages.PREVIOUS)]
        if opened and self._best(opened) is not product:
            return [self._click(pages.PREVIOUS)]
        wanted = wanted_options(product.options, self.instruction)
        pending = [value for name, value in wanted.items() if self.memory.selected.get(name) != value]
        return [self._click(value) for value in pending] or [self._click(pages.BUY)]

    def _candidates(self) -> list[Listing]:
        """Return the affordable results on the page that were not opened yet."""
        seen = self.memory.products
        return [each for each in self.memory.results if each.asin not in seen and self.instruction.affords(each.price)]

    def _opened(self) -> list[SeenProduct]:
        listed = {each.asin for each in self.memory.results}
        return [product for asin, product in self.memory.products.items() if asin in listed]

    def _best(self, products: Sequence[SeenProduct]) -> SeenProduct:
        """Return the product with the fewest missing terms, preferring affordable ones."""
        return min(
            products,
            key=lambda each: (
                not self.instruction.affords(each.listing.price),
                len(missing_terms(each, self.instruction)),
            ),
        )

    def _coverage(self, listing: Listing) -> int:
        """Return how many of the wanted terms the name contains."""
        wanted = self.instruction.terms.union(terms(self._kind))
        return len(wanted.intersection(terms(listing.name)))

    def _open(self, listing: Listing) -> str:
        by_name = f"click[{listing.name.lower()}]"
        return by_name if by_name in self._admissible else f"click[{listing.asin.lower()}]"

    def _click(self, target: str) -> str:
        action = f"click[{target.lower()}]"
        # If the button is missing, ``memory`` misread the page: leave it by any action.
        return action if action in self._admissible else self._admissible[0]
