"""Draws the products of the built-in shop, family by family, before their texts are written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.builtin.departments import EXCLUSIVE, Attribute, ProductKind

_FAMILY_SIZE = 4
"""Number of products that share most of their attributes, so that choosing between them takes reading."""

_ATTRIBUTES = 5
_UNNAMED = 2
"""Number of attributes of a product, and of those that are not in its name."""

_REPLACED_COUNTS = {1: 3, 2: 2}
"""Weights of the number of attributes in which a member differs from its family."""

_OPTION_SHARE = 0.85
_RANGE_SHARE = 0.2
_PRICE_ENDINGS = (0.99, 0.95, 0.49, 0.0)
_MAX_OPTION_VALUES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A product without its texts.

    Attributes:
        kind: The kind of product.
        brand: The brand.
        style: The style.
        named: The attributes in its name.
        unnamed: The attributes that only its page states.
        options: The values of each option.
        prices: The price in dollars, or the lowest and the highest price.
    """

    kind: ProductKind
    brand: str
    style: str
    named: tuple[Attribute, ...]
    unnamed: tuple[Attribute, ...]
    options: Mapping[str, tuple[str, ...]]
    prices: tuple[float, ...]

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """All attributes in alphabetical order, which does not reveal where they are stated."""
        return tuple(sorted((*self.named, *self.unnamed), key=lambda attribute: attribute.words))


def draw_drafts(kind: ProductKind, count: int, seed: int) -> Iterator[Draft]:
    """Yield the first ``count`` products of ``kind``; a larger ``count`` starts with the same ones."""
    for family in range(-(-count // _FAMILY_SIZE)):
        rng = Random(derive_seed(seed, "webshop", "family", kind.query, family))
        shared = _draw_attributes([], kind.attributes, rng)
        others = [attribute for attribute in kind.attributes if attribute not in shared]
        for member in range(min(_FAMILY_SIZE, count - family * _FAMILY_SIZE)):
            # The first member has the shared attributes; in the others, some are replaced.
            kept = rng.sample(shared, len(shared) - _weighted(_REPLACED_COUNTS, rng)) if member else shared
            yield _draw_draft(kind, _draw_attributes(kept, others, rng), rng)


def _draw_draft(kind: ProductKind, attributes: Sequence[Attribute], rng: Random) -> Draft:
    mixed = rng.sample(attributes, len(attributes))
    return Draft(
        kind=kind,
        brand=rng.choice(kind.brands),
        style=rng.choice(kind.styles),
        named=tuple(mixed[_UNNAMED:]),
        unnamed=tuple(mixed[:_UNNAMED]),
        options={
            name: _draw_values(values, rng) for name, values in kind.options.items() if rng.random() < _OPTION_SHARE
        },
        prices=_draw_prices(kind.price, rng),
    )


def _draw_attributes(kept: Sequence[Attribute], pool: Sequence[Attribute], rng: Random) -> list[Attribute]:
    """Return ``kept`` plus attributes from ``pool`` that exclude none of the others, until there are enough."""
    drawn = list(kept)
    for attribute in rng.sample(pool, len(pool)):
        if len(drawn) == _ATTRIBUTES:
            break
        rivals = {words for group in EXCLUSIVE if attribute.words in group for words in group}
        if rivals.isdisjoint(other.words for other in drawn):
            drawn.append(attribute)
    return drawn


def _draw_values(values: tuple[str, ...], rng: Random) -> tuple[str, ...]:
    """Draw two to five of ``values``, in their order, so that similar products offer different values."""
    count = rng.randint(2, min(len(values), _MAX_OPTION_VALUES))
    drawn = set(rng.sample(values, count))
    return tuple(value for value in values if value in drawn)


def _draw_prices(bounds: tuple[float, float], rng: Random) -> tuple[float, ...]:
    """Draw a price between ``bounds``, or sometimes the bounds of a price range that starts there."""
    price = _rounded(rng.uniform(*bounds), rng)
    if rng.random() >= _RANGE_SHARE:
        return (price,)
    return (price, _rounded(price * rng.uniform(1.1, 1.4) + 1, rng))


def _rounded(price: float, rng: Random) -> float:
    return int(price) + rng.choice(_PRICE_ENDINGS)


def _weighted(weights: Mapping[int, int], rng: Random) -> int:
    (drawn,) = rng.choices(list(weights), weights=list(weights.values()))
    return drawn
