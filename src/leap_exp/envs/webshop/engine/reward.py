"""The reward for buying a product, computed like in WebShop's ``goal.py``.

reward = r_type * (m_attr + m_opt + p) / (n_attr + n_opt + 1), where m_attr of n_attr wanted attributes and m_opt of
n_opt wanted options match the purchase, and p = 1 if its price is within the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

from leap_exp.envs.webshop.engine.goals import Goal
from leap_exp.envs.webshop.engine.products import Product
from leap_exp.envs.webshop.engine.vocabulary import words

_FUZZY_MATCH = 85
_NO_NOUNS_SCORE = 0.2
_SAME_TYPE_SCORE, _OTHER_TYPE_SCORE = 0.2, 0.1
_SHARED_CATEGORIES = 2
_LATIN_1 = dict.fromkeys(range(128, 256))

COLOURS = words("colours")
"""An option that contains one of these is replaced by the first one that it contains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """A reward in [0, 1] and its parts; ``option`` is None if the goal asks for no options."""

    total: float
    type: float
    attribute: float
    option: float | None
    price: bool
    query_match: bool
    category_match: bool
    title_score: float
    attribute_weight: float
    option_weight: float
    price_weight: float

    def as_original(self) -> dict[str, object]:
        """Return the parts under the original's names."""
        parts: dict[str, object] = {
            "r_type": self.type,
            "r_att": self.attribute,
            "w_att": self.attribute_weight,
            "query_match": self.query_match,
            "category_match": self.category_match,
            "title_score": self.title_score,
        }
        if self.option is not None:
            parts |= {"r_option": self.option, "w_option": self.option_weight}
        return parts | {"r_price": self.price, "w_price": self.price_weight}


def purchase_reward(
    product: Product, goal: Goal, target: Product, *, price: float, selected: Mapping[str, str]
) -> Reward:
    """Return the reward for buying ``product``.

    Args:
        product: The purchase.
        goal: The goal.
        target: The product that the goal was made from.
        price: The price of ``product``, in dollars.
        selected: The selected option values, by option.
    """
    attributes = matched_attributes(product, goal.attributes)
    options = matched_options(list(selected.values()), goal.options)
    affordable = price <= goal.price_limit
    parts = len(goal.attributes) + len(goal.options) + 1
    type_score, query_match, category_match, title_score = _type_parts(product, target)
    return Reward(
        total=(attributes + options + affordable) / parts * type_score,
        type=type_score,
        attribute=attributes / len(goal.attributes),
        option=options / len(goal.options) if goal.options else None,
        price=affordable,
        query_match=query_match,
        category_match=category_match,
        title_score=title_score,
        attribute_weight=len(goal.attributes) / parts,
        option_weight=len(goal.options) / parts,
        price_weight=1 / parts,
    )


def matched_attributes(product: Product, wanted: Sequence[str]) -> int:
    """Return how many of the attributes ``wanted`` the product has, in its list of attributes or in its texts."""
    texts = (product.name.lower(), " ".join(product.bullets).lower(), product.description.lower())
    return sum(
        any(_alike(attribute, own) for own in product.attributes) or any(attribute in text for text in texts)
        for attribute in wanted
    )


def matched_options(selected: Sequence[str], wanted: Mapping[str, str] | Sequence[str]) -> int:
    """Return how many of the options ``wanted`` are among those selected."""
    own = [_colour_in(option) for option in selected]
    if isinstance(wanted, Mapping):
        # The original compares an option of a synthetic goal as a pair of name and value, in Python's notation.
        targets = [_colour_in_pair(pair) for pair in wanted.items()]
    else:
        targets = [_colour_in(option) for option in wanted]
    return sum(any(_alike(option, target) for option in own) for target in targets)


def _type_parts(product: Product, target: Product) -> tuple[float, bool, bool, float]:
    """Return the type score, whether the queries and the categories match, and the share of the target's nouns."""
    query_match = product.query == target.query
    shared = _categories(product) & _categories(target)
    category_match = len(shared) >= _SHARED_CATEGORIES
    title_score = len(set(product.nouns) & set(target.nouns)) / len(target.nouns) if target.nouns else _NO_NOUNS_SCORE
    if title_score == 0:
        type_score = 0.0
    elif title_score < _OTHER_TYPE_SCORE:
        type_score = 0.1
    else:
        type_score = 1.0 if query_match or category_match or title_score > _SAME_TYPE_SCORE else 0.5
    return type_score, query_match, category_match, title_score


def _categories(product: Product) -> set[str]:
    return {part.strip() for part in product.product_category.split("\u203a")}


def _colour_in(option: str) -> str:
    return next((colour for colour in COLOURS if colour in option), option)


def _colour_in_pair(pair: tuple[str, str]) -> str:
    # The original finds a colour in a pair only if the name or the value equals that colour.
    return next((colour for colour in COLOURS if colour in pair), str(pair))


def _alike(left: str, right: str) -> bool:
    """Compare by thefuzz's ``token_set_ratio``, which ignores Latin-1 characters and rounds to whole per cent."""
    score = fuzz.token_set_ratio(default_process(left.translate(_LATIN_1)), default_process(right.translate(_LATIN_1)))
    return round(score) > _FUZZY_MATCH
