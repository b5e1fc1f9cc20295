"""Replays recorded episodes of the original as an agent plays them here: with results clicked by id and by name."""

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.replay import Difference, OnEpisode, compare_fields, recorded_episodes, recorded_shops
from leap_exp.envs.webshop.engine.shop import Shop
from leap_exp.envs.webshop.environment import WebShopEpisode


def replay_as_agent(folder: Path, catalogue: Catalogue, on_episode: OnEpisode) -> Iterator[Difference]:
    """Yield the differences of observations, admissible actions, rewards and ends from the recordings in ``folder``.

    Every episode is played twice: with ``item_names=False`` by the recorded actions, and with ``item_names=True`` by
    the names under which the results are listed, where a recorded action clicks one by its id.

    Args:
        folder: A folder of recordings, as for ``replay``.
        catalogue: The catalogue of the recorded products.
        on_episode: Called after each episode with the number of its clicks by name.

    Raises:
        DataError: There are no recordings, or one cannot be read.
    """
    for kind, _, shop in recorded_shops(folder, catalogue):
        for mode, number, episode in recorded_episodes(folder, kind):
            for item_names in (False, True):
                where = f"{kind}_{mode} {number}, by {'name' if item_names else 'id'}"
                on_episode((yield from _compare_episode(episode, shop, mode, item_names, where)))


def _compare_episode(
    recorded: Mapping[str, Any], shop: Shop, mode: ObservationMode, item_names: bool, where: str
) -> Generator[Difference, None, int]:
    """Yield the differences and return the number of clicks by name."""
    episode = WebShopEpisode(shop.open(recorded["goal_index"], mode=mode), item_names=item_names)
    start = {"observation": recorded["initial_observation"], "actions": _listed(recorded["initial_available"])}
    yield from compare_fields(where, start, _shown(episode))
    by_name = 0
    for number, step in enumerate(recorded["steps"], start=1):
        written = _as_listed(episode, step["action"])
        by_name += written != step["action"]
        transition = episode.step(written)
        expected = {
            "observation": step["observation"],
            "actions": _listed(step["available"]),
            "reward": step["reward"],
            "done": step["done"],
        }
        found = {**_shown(episode), "reward": transition.reward, "done": transition.done}
        yield from compare_fields(f"{where}, step {number}, {written!r}", expected, found)
        if transition.done:
            break
    return by_name


def _as_listed(episode: WebShopEpisode, action: str) -> str:
    """Return a recorded action with a result's name in place of its id, where the episode lists it by name."""
    listed = {episode.by_id(each): each for each in episode.observation.admissible_actions or ()}
    return listed.get(action, action)


def _shown(episode: WebShopEpisode) -> dict[str, object]:
    observation = episode.observation
    return {
        "observation": observation.text,
        "actions": [episode.by_id(action) for action in observation.admissible_actions or ()],
    }


def _listed(available: Mapping[str, Any]) -> list[str]:
    """Return the actions that the environment lists on a page where the original offers ``available``."""
    if available["has_search_bar"]:
        return ["search[<query>]"]
    return [f"click[{name}]" for name in available["clickables"]]
