"""Products as the generator draws them, family by family, before any text is written about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.webshop.builtin.departments import EXCLUSIVE, Attribute, ProductKind

_FAMILY_SIZE = 4
"""How many products share most of their attributes, so that a choice between them takes reading."""

_ATTRIBUTES = 5
_UNNAMED = 2
"""How many attributes a product has, and how many of them its name leaves out."""

_REPLACED_COUNTS = {1: 3, 2: 2}
"""Weights of the number of a family's attributes that a member exchanges."""

_OPTION_SHARE = 0.85
_RANGE_SHARE = 0.2
_PRICE_ENDINGS = (0.99, 0.95, 0.49, 0.0)
_MOST_OPTION_VALUES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A product without its texts.

    ``named`` are the attributes in its name, ``unnamed`` those that only its page states. ``prices`` holds one price
    in dollars, or the least and the highest.
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
        """All attributes, in alphabetical order, which tells nothing of where they are stated."""
        return tuple(sorted((*self.named, *self.unnamed), key=lambda attribute: attribute.words))


def draw_drafts(kind: ProductKind, count: int, seed: int) -> Iterator[Draft]:
    """The first ``count`` products of ``kind``: more of them begin with the same ones."""
    for family in range(-(-count // _FAMILY_SIZE)):
        rng = Random(derive_seed(seed, "webshop", "family", kind.query, family))
        shared = _draw_attributes([], kind.attributes, rng)
        others = [attribute for attribute in kind.attributes if attribute not in shared]
        for member in range(min(_FAMILY_SIZE, count - family * _FAMILY_SIZE)):
            # The first member has the shared attributes; each further one misses some of them and has others instead.
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
    """``kept`` and as many from ``pool`` as are missing, none of which exclude each other."""
    chosen = list(kept)
    for attribute in rng.sample(pool, len(pool)):
        if len(chosen) == _ATTRIBUTES:
            break
        rivals = {words for group in EXCLUSIVE if attribute.words in group for words in group}
        if rivals.isdisjoint(other.words for other in chosen):
            chosen.append(attribute)
    return chosen


def _draw_values(values: tuple[str, ...], rng: Random) -> tuple[str, ...]:
    """Two to five of ``values``, in their order: what one product lacks, its neighbour may have."""
    count = rng.randint(2, min(len(values), _MOST_OPTION_VALUES))
    chosen = set(rng.sample(values, count))
    return tuple(value for value in values if value in chosen)


def _draw_prices(bounds: tuple[float, float], rng: Random) -> tuple[float, ...]:
    """A price between ``bounds``, or now and then the least and the highest of a range that begins there."""
    price = _rounded(rng.uniform(*bounds), rng)
    if rng.random() >= _RANGE_SHARE:
        return (price,)
    return (price, _rounded(price * rng.uniform(1.1, 1.4) + 1, rng))


def _rounded(price: float, rng: Random) -> float:
    return int(price) + rng.choice(_PRICE_ENDINGS)


def _weighted(weights: Mapping[int, int], rng: Random) -> int:
    (drawn,) = rng.choices(list(weights), weights=list(weights.values()))
    return drawn
