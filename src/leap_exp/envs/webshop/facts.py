"""What is hidden from the shopper, as text for a teacher and as data for a program."""

from __future__ import annotations

from collections.abc import Mapping

from leap_exp.core.types import PrivilegedFacts
from leap_exp.envs.webshop.goals import NO_LIMIT, Goal


def privileged_facts(task_id: str, goal: Goal, *, price: float) -> PrivilegedFacts:
    """What is wanted in ``goal``, taken apart, and a product that satisfies it.

    ``data`` has ``attributes``, ``options``, ``price_limit`` in dollars (None without one), ``example`` (the product's
    id) and ``hidden_names`` (its id and name).

    Args:
        task_id: The task's.
        goal: Its goal.
        price: What the goal's product costs, in dollars.
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
