"""Goals, prices and splits, in the order in which the original draws and shuffles them.

The original draws from Python's global generator: first the price of each product that has two bounds, in catalogue
order, then a price limit for each wish. Then it shuffles the goals with seed 233. Here ``price_seed`` seeds a generator
of its own; the order of the goals does not depend on it.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.webshop.product import Product, Wish

if TYPE_CHECKING:
    from leap_exp.envs.webshop.catalogue import Catalogue

DEFAULT_PRICE_SEED = 42
ORDER_SEED = 233

NO_LIMIT = 1_000_000.0
"""The price limit, in dollars, of goals that name none."""

_LIMITS = [10.0 * step for step in range(1, 100)]
_LIMITS_ABOVE = 4
_TEST_GOALS, _VALIDATION_GOALS = 500, 1000
_SMALL_SHARE = 5
"""With no goal beyond the first 1,500, test and validation get one in that many each."""

SPLITS = ("train", "validation", "test")


class GoalKind(StrEnum):
    """Who wrote the instructions."""

    SYNTHETIC = "synthetic"
    HUMAN = "human"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a shopper is asked to buy. ``options`` are by name in synthetic goals, a plain list in human ones."""

    row: int
    asin: str
    name: str
    instruction: str
    category: str
    query: str
    product_category: str
    attributes: tuple[str, ...]
    options: Mapping[str, str] | tuple[str, ...]
    price_limit: float


class GoalList:
    """All goals of a kind, in the original's order, with the prices of one seed.

    Raises:
        DataError: The catalogue has no goal of that kind.
    """

    def __init__(
        self, catalogue: Catalogue, *, kind: GoalKind = GoalKind.SYNTHETIC, price_seed: int = DEFAULT_PRICE_SEED
    ) -> None:
        self._catalogue, self._kind = catalogue, kind
        self._places = catalogue.goal_places(kind)
        if not len(self._places):
            raise DataError(f"The catalogue {catalogue.folder} has no {kind} goals.")
        rng = random.Random(price_seed)
        self._prices = draw_prices(rng, catalogue.price_bounds)
        if price_seed == DEFAULT_PRICE_SEED:
            self._limits = catalogue.default_limits(kind)
        else:
            self._limits = draw_limits(rng, self._prices, catalogue.wish_rows(kind))

    def __len__(self) -> int:
        return len(self._places)

    def price(self, row: int) -> float:
        """What the product in ``row`` costs, in dollars."""
        return float(self._prices[row])

    def goal(self, index: int) -> Goal:
        """The goal at ``index``, counted from 0.

        Raises:
            DataError: There is no such goal.
        """
        if not 0 <= index < len(self):
            raise DataError(f"There is no {self._kind} goal {index}: the catalogue has {len(self)}, from 0 on.")
        row, choice, draw = (int(number) for number in self._places[index])
        product = self._catalogue.product(row)
        wish, options, wording = self._chosen(product, choice)
        limit = float(self._limits[draw])
        return Goal(
            row=row,
            asin=product.asin,
            name=product.name,
            instruction=f"{wish.text}{wording}"
            + (f", and price lower than {limit:.2f} dollars" if limit < NO_LIMIT else ""),
            category=product.category,
            query=product.query,
            product_category=product.product_category,
            attributes=wish.attributes,
            options=options,
            price_limit=limit,
        )

    def split(self, name: str) -> range:
        """The indices of the goals of a split.

        Raises:
            ConfigError: There is no such split.
        """
        return split_ranges(len(self), name)

    def _chosen(self, product: Product, choice: int) -> tuple[Wish, Mapping[str, str] | tuple[str, ...], str]:
        """The wish, its options and how the instruction names these."""
        if self._kind is GoalKind.HUMAN:
            wish = product.human_wishes[choice]
            return wish, wish.options, ""
        if product.synthetic_wish is None:
            raise DataError(f"{product.asin} has no synthetic instruction: the catalogue is broken, build it again.")
        options = combination(product.options, choice)
        words = ", and ".join(f"{name}: {value}" for name, value in options.items())
        return product.synthetic_wish, options, f" with {words}" if words else ""


def split_ranges(count: int, name: str) -> range:
    """The indices of a split of ``count`` goals.

    The first 500 are for testing, the next 1,000 for validation and the rest for training, as in the original. Where
    that leaves none to train on, the first fifth is for testing, the next fifth for validation (at least one each).

    Raises:
        ConfigError: There is no such split.
    """
    if name not in SPLITS:
        raise ConfigError(f"Unknown split {name!r}: choose one of {', '.join(SPLITS)}.")
    test, validation = _TEST_GOALS, _VALIDATION_GOALS
    if count <= test + validation:
        test = validation = max(1, count // _SMALL_SHARE)
    bounds = {"test": (0, test), "validation": (test, test + validation), "train": (test + validation, count)}
    start, stop = bounds[name]
    return range(min(start, count), min(stop, count))


def combination(options: Mapping[str, Sequence[str]], number: int) -> dict[str, str]:
    """The ``number``-th choice of a value for each option; names in sorted order, the last one changes fastest."""
    chosen = {}
    for name in sorted(options, reverse=True):
        number, place = divmod(number, len(options[name]))
        chosen[name] = options[name][place]
    return dict(reversed(chosen.items()))


def draw_prices(rng: random.Random, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The price of every product, in dollars: the first of its ``bounds``, or one drawn between both."""
    prices = np.array(bounds[:, 0])
    drawn = np.flatnonzero(~np.isnan(bounds[:, 1]))
    low, high = bounds[drawn, 0], bounds[drawn, 1]
    prices[drawn] = low + (high - low) * _uniform(rng, len(drawn))
    return prices


def draw_limits(rng: random.Random, prices: NDArray[np.float64], rows: Iterable[int]) -> NDArray[np.float64]:
    """A price limit for the product in each of ``rows``, in dollars; ``NO_LIMIT`` where the original sets none."""
    return np.array([_limit(rng, float(prices[row])) for row in rows])


def _uniform(rng: random.Random, count: int) -> NDArray[np.float64]:
    """The next ``count`` results of ``rng.random()``, by NumPy's generator, which is the same Mersenne Twister."""
    version, state, gauss = rng.getstate()
    twister = np.random.RandomState()
    twister.set_state(("MT19937", np.array(state[:-1], dtype=np.uint32), state[-1], 0, 0.0))
    numbers = twister.random_sample(count)
    _, words, place, *_ = twister.get_state(legacy=True)
    rng.setstate((version, (*(int(word) for word in words), int(place)), gauss))
    return numbers


def _limit(rng: random.Random, price: float) -> float:
    first = bisect_right(_LIMITS, price)
    above = _LIMITS[first : first + _LIMITS_ABOVE]
    return max(rng.sample(above, 2)) if len(above) > 1 else NO_LIMIT
