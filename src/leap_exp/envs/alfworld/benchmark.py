"""Measures opening a folder of games."""

import time
from collections.abc import Mapping
from pathlib import Path

from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.environment import AlfworldEnvironment
from leap_exp.envs.alfworld.library import open_library

_GAMES = 1_000
_REPEATS = 5


def measure_opening(folder: Path) -> Mapping[str, float]:
    """Open up to 1,000 games of the first split of ``folder`` some times, and return the shortest times.

    Opening is listing the tasks, and for each of them reading its file and making the first observation. Only
    what games have in common is kept from one time to the next.
    """
    split = open_library(AlfworldConfig(games=str(folder))).splits[0]
    seconds, core_seconds = [], []
    for _ in range(_REPEATS):
        wall, cores = time.perf_counter(), time.process_time()
        games = _open_all(folder, split)
        seconds.append(time.perf_counter() - wall)
        core_seconds.append(time.process_time() - cores)
    return {
        "opened_games": games,
        "opening_seconds": round(min(seconds), 2),
        "opening_core_seconds": round(min(core_seconds), 2),
    }


def _open_all(folder: Path, split: str) -> int:
    """Open the games in a new environment; return their number."""
    config = AlfworldConfig(games=str(folder), select=f"0:{_GAMES}")
    environment = AlfworldEnvironment(config)
    tasks = environment.tasks(split)
    for task in tasks:
        with environment.open(task, seed=0) as episode:
            _ = episode.observation
    return len(tasks)
