"""Replays recorded episodes of the original WebShop and reports differences."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.goals import GoalList
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.products import GoalKind
from leap_exp.envs.webshop.engine.shop import Session, Shop

OnEpisode = Callable[[int], None]
"""Called with the number of steps of each episode."""

Recorded = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value that differs from its recording."""

    where: str
    field: str
    recorded: object
    found: object

    def __str__(self) -> str:
        """Return the difference on three lines."""
        return f"{self.where}: {self.field}\n  recorded {self.recorded!r}\n  found    {self.found!r}"


def replay(folder: Path, catalogue: Catalogue, on_episode: OnEpisode) -> Iterator[Difference]:
    """Yield the differences from the recordings in ``folder``: in goals, prices and all pages and rewards.

    Args:
        folder: A folder of files ``KIND_goals.json.gz`` and ``KIND_MODE.json.gz``.
        catalogue: The catalogue of the recorded products, with the tagger of the recordings.
        on_episode: Called after each episode.

    Raises:
        DataError: There are no recordings, or one cannot be read.
    """
    for kind, recorded, shop in recorded_shops(folder, catalogue):
        yield from _compare_prices(recorded["product_prices"], catalogue, shop.goals, f"{kind} goals")
        yield from _compare_goals(recorded["goals"], shop.goals, f"{kind} goals")
        for mode, number, episode in recorded_episodes(folder, kind):
            yield from _compare_episode(episode, shop, mode, f"{kind}_{mode} {number}")
            on_episode(len(episode["steps"]))


def recorded_shops(folder: Path, catalogue: Catalogue) -> Iterator[tuple[GoalKind, Recorded, Shop]]:
    """Yield each kind of goals that ``folder`` has, what was recorded of them, and a shop with these goals.

    Raises:
        DataError: There are no recordings, or one cannot be read.
    """
    for kind in recorded_kinds(folder):
        recorded = read_recording(folder / f"{kind}_goals.json.gz")
        goals = GoalList(catalogue, kind=kind, price_seed=recorded["global_seed_before_construction"])
        yield kind, recorded, Shop(catalogue, goals)


def recorded_episodes(folder: Path, kind: GoalKind) -> Iterator[tuple[ObservationMode, int, Recorded]]:
    """Yield the recorded episodes of a kind of goals, with their mode and number."""
    for mode in ObservationMode:
        path = folder / f"{kind}_{mode}.json.gz"
        for number, episode in enumerate(read_recording(path) if path.is_file() else ()):
            yield mode, number, episode


def recorded_kinds(folder: Path) -> Sequence[GoalKind]:
    """Return the kinds of goals of the recordings in ``folder``; raises DataError if there are none."""
    kinds = [kind for kind in GoalKind if (folder / f"{kind}_goals.json.gz").is_file()]
    if not kinds:
        raise DataError(
            f"The folder {folder} has no recordings: it needs at least one KIND_goals.json.gz and KIND_MODE.json.gz."
        )
    return kinds


def read_recording(path: Path) -> Any:  # noqa: ANN401 - JSON has any shape
    """Return the content of a recording; raises DataError if it cannot be read."""
    try:
        return json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"The recording {path} cannot be read ({error}): get the file again.") from error


def _compare_prices(
    recorded: Mapping[str, float], catalogue: Catalogue, goals: GoalList, where: str
) -> Iterator[Difference]:
    yield from compare_fields(where, {"number of products": len(recorded)}, {"number of products": len(catalogue)})
    for asin, price in recorded.items():
        row = catalogue.row(asin)
        found = None if row is None else goals.price(row)
        yield from compare_fields(where, {f"price of {asin}": price}, {f"price of {asin}": found})


def _compare_goals(recorded: Sequence[Recorded], goals: GoalList, where: str) -> Iterator[Difference]:
    yield from compare_fields(where, {"number of goals": len(recorded)}, {"number of goals": len(goals)})
    for index, expected in enumerate(recorded[: len(goals)]):
        found = goals.goal(index).as_original()
        # The original's weight is not compared: it is for drawing random goals, which this environment does not do.
        yield from compare_fields(f"{where} {index}", {name: expected[name] for name in found}, found)


def _compare_episode(episode: Recorded, shop: Shop, mode: ObservationMode, where: str) -> Iterator[Difference]:
    session = shop.open(episode["goal_index"], mode=mode)
    start = {
        "instruction": episode["instruction"],
        "observation": episode["initial_observation"],
        "available": episode["initial_available"],
    }
    yield from compare_fields(
        where, start, {"instruction": f"Instruction: {session.goal.instruction}", **_page(session)}
    )
    for number, step in enumerate(episode["steps"], start=1):
        here = f"{where}, step {number}, {step['action']!r}"
        if session.done:
            yield Difference(where=here, field="done", recorded=False, found=True)
            return
        found = {"reward": session.step(step["action"]), "done": session.done, **_page(session), **_purchase(session)}
        yield from compare_fields(here, {name: value for name, value in step.items() if name != "action"}, found)


def _page(session: Session) -> dict[str, object]:
    has_search_bar, clickables = session.available
    available = {"has_search_bar": has_search_bar, "clickables": list(clickables)}
    return {"observation": session.text, "available": available}


def _purchase(session: Session) -> dict[str, object]:
    if session.reward is None or session.product is None:
        return {}
    return {
        "reward_info": session.reward.as_original(),
        "asin": session.product.asin,
        "options": dict(session.selected),
    }


def compare_fields(where: str, recorded: Mapping[str, object], found: Mapping[str, object]) -> Iterator[Difference]:
    """Yield a difference for each field that two mappings do not share, or whose values differ."""
    for name in [*recorded, *(found.keys() - recorded.keys())]:
        if recorded.get(name) != found.get(name):
            yield Difference(where=where, field=name, recorded=recorded.get(name), found=found.get(name))
