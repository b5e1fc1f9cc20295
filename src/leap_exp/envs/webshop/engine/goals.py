"""Goals, prices and splits, drawn and shuffled in the order of the original.

The original draws from Python's global generator: first the price of each product that has two bounds, in catalogue
order, then a price limit for each instruction. Then it shuffles the goals with seed 233. Here ``price_seed`` seeds a
separate generator; the order of the goals does not depend on it.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.products import GoalKind, Instruction, Product

DEFAULT_PRICE_SEED = 42
"""The price seed whose limits a catalogue stores."""

ORDER_SEED = 233
"""The seed with which the original shuffles goals."""

NO_LIMIT = 1_000_000.0
"""The price limit, in dollars, of goals that name none."""

_LIMITS = [10.0 * step for step in range(1, 100)]
_LIMITS_ABOVE = 4
_TEST_GOALS, _VALIDATION_GOALS = 500, 1000
_SMALL_SHARE = 5
"""If there are no goals beyond the first 1,500, test and validation get one goal in five each."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a shopper has to buy. ``options`` is a mapping in synthetic goals and a list of values in human ones."""

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

    def as_original(self) -> dict[str, Any]:
        """Return the goal as the original's dictionary, without its weight."""
        return {
            "asin": self.asin,
            "category": self.category,
            "query": self.query,
            "name": self.name,
            "product_category": self.product_category,
            "instruction_text": self.instruction,
            "attributes": list(self.attributes),
            "price_upper": self.price_limit,
            "goal_options": dict(self.options) if isinstance(self.options, Mapping) else list(self.options),
        }


class GoalList:
    """All goals of a kind, in the original's order, with the prices of one seed.

    Raises:
        DataError: The catalogue has no goals of that kind.
    """

    def __init__(
        self, catalogue: Catalogue, *, kind: GoalKind = GoalKind.SYNTHETIC, price_seed: int = DEFAULT_PRICE_SEED
    ) -> None:
        self._catalogue, self._kind = catalogue, kind
        self._table = catalogue.goal_table(kind)
        if not len(self._table):
            other = GoalKind.SYNTHETIC if kind is GoalKind.HUMAN else GoalKind.HUMAN
            raise DataError(f"The catalogue {catalogue.folder} has no {kind} goals: use env.goals={other}.")
        rng = random.Random(price_seed)
        self._prices = draw_prices(rng, catalogue.price_bounds)
        if price_seed == DEFAULT_PRICE_SEED:
            self._limits = catalogue.default_limits(kind)
        else:
            self._limits = draw_limits(rng, self._prices, catalogue.instruction_rows(kind))

    def __len__(self) -> int:
        return len(self._table)

    def price(self, row: int) -> float:
        """Return the price of the product in ``row``, in dollars."""
        return float(self._prices[row])

    def goal(self, index: int) -> Goal:
        """Return the goal at ``index``, counted from 0.

        Raises:
            DataError: There is no such goal.
        """
        if not 0 <= index < len(self):
            raise DataError(f"There is no {self._kind} goal {index}: choose from 0 to {len(self) - 1}.")
        row, choice, draw = (int(number) for number in self._table[index])
        product = self._catalogue.product(row)
        instruction, options, wording = self._instruction(product, choice)
        limit = float(self._limits[draw])
        return Goal(
            row=row,
            asin=product.asin,
            name=product.name,
            instruction=f"{instruction.text}{wording}"
            + (f", and price lower than {limit:.2f} dollars" if limit < NO_LIMIT else ""),
            category=product.category,
            query=product.query,
            product_category=product.product_category,
            attributes=instruction.attributes,
            options=options,
            price_limit=limit,
        )

    def split(self, name: str) -> range:
        """Return the indices of the goals of a split.

        Raises:
            ConfigError: There is no such split.
        """
        return split_range(len(self), name)

    def _instruction(
        self, product: Product, choice: int
    ) -> tuple[Instruction, Mapping[str, str] | tuple[str, ...], str]:
        """Return the instruction, its options, and the words that name these in the goal's instruction."""
        if self._kind is GoalKind.HUMAN:
            instruction = product.human_instructions[choice]
            return instruction, instruction.options, ""
        if product.synthetic_instruction is None:
            raise DataError(f"{product.asin} has no synthetic instruction: the catalogue is broken, build it again.")
        options = combination(product.options, choice)
        words = ", and ".join(f"{name}: {value}" for name, value in options.items())
        return product.synthetic_instruction, options, f" with {words}" if words else ""


def split_range(count: int, name: str) -> range:
    """Return the indices of a split of ``count`` goals.

    As in the original, the first 500 goals are for testing, the next 1,000 for validation and the rest for training.
    If that leaves none for training, the first fifth is for testing and the next fifth for validation, at least one
    each.

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
    """Return combination ``number`` of option values; names are sorted, and the last one varies fastest."""
    values = {}
    for name in sorted(options, reverse=True):
        number, position = divmod(number, len(options[name]))
        values[name] = options[name][position]
    return dict(reversed(values.items()))


def draw_prices(rng: random.Random, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the price of every product, in dollars.

    Args:
        rng: The generator.
        bounds: Shape (products, 2). If the second bound is NaN, the first is the price; else it is drawn in between.
    """
    prices = np.array(bounds[:, 0])
    drawn = np.flatnonzero(~np.isnan(bounds[:, 1]))
    low, high = bounds[drawn, 0], bounds[drawn, 1]
    prices[drawn] = low + (high - low) * _uniform(rng, len(drawn))
    return prices


def draw_limits(rng: random.Random, prices: NDArray[np.float64], rows: Iterable[int]) -> NDArray[np.float64]:
    """Return a price limit in dollars for the product in each of ``rows``; ``NO_LIMIT`` if the original sets none."""
    return np.array([_limit(rng, float(prices[row])) for row in rows])


def _uniform(rng: random.Random, count: int) -> NDArray[np.float64]:
    """Return the next ``count`` results of ``rng.random()``, drawn by NumPy's generator, the same Mersenne Twister."""
    version, state, gauss = rng.getstate()
    twister = np.random.RandomState()
    twister.set_state(("MT19937", np.array(state[:-1], dtype=np.uint32), state[-1], 0, 0.0))
    numbers = twister.random_sample(count)
    _, words, position, *_ = twister.get_state(legacy=True)
    rng.setstate((version, (*(int(word) for word in words), int(position)), gauss))
    return numbers


def _limit(rng: random.Random, price: float) -> float:
    first = bisect_right(_LIMITS, price)
    above = _LIMITS[first : first + _LIMITS_ABOVE]
    return max(rng.sample(above, 2)) if len(above) > 1 else NO_LIMIT
