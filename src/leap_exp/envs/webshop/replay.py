"""Plays recorded episodes of the original WebShop again and says what differs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.catalogue import Catalogue
from leap_exp.envs.webshop.goals import GoalKind, GoalList
from leap_exp.envs.webshop.pages import ObservationMode
from leap_exp.envs.webshop.shop import Session, Shop

OnEpisode = Callable[[int], None]
"""Told how many steps an episode had."""

_Recorded = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as it was recorded."""

    where: str
    field: str
    recorded: object
    found: object

    def __str__(self) -> str:
        """All of it, on three lines."""
        return f"{self.where}: {self.field}\n  recorded {self.recorded!r}\n  found    {self.found!r}"


def replay(folder: Path, catalogue: Catalogue, on_episode: OnEpisode) -> Iterator[Difference]:
    """What differs from the recordings in ``folder``: goals, prices, and all that an episode showed.

    Args:
        folder: Files ``KIND_goals.json.gz`` and ``KIND_MODE.json.gz``.
        catalogue: That of the products which were recorded, with the tagger of the recordings.
        on_episode: Hears of every episode that was played.

    Raises:
        DataError: There are no recordings, or one cannot be read.
    """
    names = sorted(path.name for path in folder.glob("*.json.gz"))
    kinds = [kind for kind in GoalKind if f"{kind}_goals.json.gz" in names]
    if not kinds:
        raise DataError(
            f"The folder {folder} holds no recordings: a KIND_goals.json.gz and a KIND_MODE.json.gz at least."
        )
    for kind in kinds:
        recorded = _read(folder / f"{kind}_goals.json.gz")
        goals = GoalList(catalogue, kind=kind, price_seed=recorded["global_seed_before_construction"])
        yield from _of_prices(recorded["product_prices"], catalogue, goals, f"{kind} goals")
        yield from _of_goals(recorded["goals"], goals, f"{kind} goals")
        shop = Shop(catalogue, goals)
        for mode in ObservationMode:
            if (name := f"{kind}_{mode}.json.gz") not in names:
                continue
            for number, episode in enumerate(_read(folder / name)):
                yield from _of_episode(episode, shop, mode, f"{kind}_{mode} {number}")
                on_episode(len(episode["steps"]))


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"The recording {path} cannot be read: {error}.") from error


def _of_prices(
    recorded: Mapping[str, float], catalogue: Catalogue, goals: GoalList, where: str
) -> Iterator[Difference]:
    yield from _compared(where, {"number of products": len(recorded)}, {"number of products": len(catalogue)})
    for asin, price in recorded.items():
        row = catalogue.row(asin)
        found = None if row is None else goals.price(row)
        yield from _compared(where, {f"price of {asin}": price}, {f"price of {asin}": found})


def _of_goals(recorded: Sequence[_Recorded], goals: GoalList, where: str) -> Iterator[Difference]:
    yield from _compared(where, {"number of goals": len(recorded)}, {"number of goals": len(goals)})
    for index, expected in enumerate(recorded[: len(goals)]):
        goal = goals.goal(index)
        found = {
            "asin": goal.asin,
            "category": goal.category,
            "query": goal.query,
            "name": goal.name,
            "product_category": goal.product_category,
            "instruction_text": goal.instruction,
            "attributes": list(goal.attributes),
            "price_upper": goal.price_limit,
            "goal_options": dict(goal.options) if isinstance(goal.options, Mapping) else list(goal.options),
        }
        # The weight is for drawing goals at random, which the text environment leaves to whoever uses it.
        yield from _compared(f"{where} {index}", {name: expected[name] for name in found}, found)


def _of_episode(episode: _Recorded, shop: Shop, mode: ObservationMode, where: str) -> Iterator[Difference]:
    session = shop.open(episode["goal_index"], mode=mode)
    start = {
        "instruction": episode["instruction"],
        "observation": episode["initial_observation"],
        "available": episode["initial_available"],
    }
    yield from _compared(where, start, {"instruction": f"Instruction: {session.goal.instruction}", **_shown(session)})
    for number, step in enumerate(episode["steps"], start=1):
        here = f"{where}, step {number}, {step['action']!r}"
        if session.done:
            yield Difference(where=here, field="done", recorded=False, found=True)
            return
        found = {"reward": session.step(step["action"]), "done": session.done, **_shown(session), **_bought(session)}
        yield from _compared(here, {name: value for name, value in step.items() if name != "action"}, found)


def _shown(session: Session) -> dict[str, object]:
    has_search_bar, clickables = session.available
    available = {"has_search_bar": has_search_bar, "clickables": list(clickables)}
    return {"observation": session.text, "available": available}


def _bought(session: Session) -> dict[str, object]:
    if session.reward is None or session.product is None:
        return {}
    return {
        "reward_info": session.reward.as_original(),
        "asin": session.product.asin,
        "options": dict(session.chosen),
    }


def _compared(where: str, recorded: Mapping[str, object], found: Mapping[str, object]) -> Iterator[Difference]:
    for name in [*recorded, *(found.keys() - recorded.keys())]:
        if recorded.get(name) != found.get(name):
            yield Difference(where=where, field=name, recorded=recorded.get(name), found=found.get(name))
