"""How a purchase was judged, part by part, for people to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.errors import EnvError
from leap_exp.envs.webshop.engine.goals import NO_LIMIT, Goal
from leap_exp.envs.webshop.engine.products import Product
from leap_exp.envs.webshop.engine.reward import Reward, matched_attributes, matched_options
from leap_exp.envs.webshop.engine.shop import Session, Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A wanted attribute, option or price, and whether the purchase meets it."""

    kind: str
    wanted: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The reward of a purchase: ``reward.type`` times the share of ``parts`` that are met.

    Attributes:
        reward: The reward.
        parts: The wanted parts.
        product: The purchase.
        selected: The selected option values, by option.
        price: The price, in dollars.
        target: The product that the goal was made from.
    """

    reward: Reward
    parts: Sequence[Part]
    product: Product
    selected: Mapping[str, str]
    price: float
    target: Product

    @property
    def met(self) -> int:
        """The number of parts that are met."""
        return sum(part.met for part in self.parts)


def judge(shop: Shop, session: Session) -> Verdict:
    """Return the verdict on the purchase in ``session``.

    Raises:
        EnvError: Nothing was bought.
    """
    goal, product = session.goal, session.product
    row = None if product is None else shop.catalogue.row(product.asin)
    if session.reward is None or product is None or row is None:
        raise EnvError(f"Nothing was bought yet for {goal.instruction!r}: finish the session first.")
    price = shop.goals.price(row)
    limit = f"at most ${goal.price_limit:.2f}" if goal.price_limit < NO_LIMIT else "any"
    return Verdict(
        reward=session.reward,
        parts=[
            *(Part(kind="attribute", wanted=each, met=_has(product, each)) for each in goal.attributes),
            *_option_parts(goal, session.selected),
            Part(kind="price", wanted=limit, met=session.reward.price),
        ],
        product=product,
        selected=session.selected,
        price=price,
        target=shop.catalogue.product(goal.row),
    )


def _has(product: Product, attribute: str) -> bool:
    return matched_attributes(product, [attribute]) == 1


def _option_parts(goal: Goal, selected: Mapping[str, str]) -> list[Part]:
    values = list(selected.values())
    if isinstance(goal.options, Mapping):
        return [
            Part(kind="option", wanted=f"{name}: {value}", met=matched_options(values, {name: value}) == 1)
            for name, value in goal.options.items()
        ]
    return [Part(kind="option", wanted=value, met=matched_options(values, [value]) == 1) for value in goal.options]
