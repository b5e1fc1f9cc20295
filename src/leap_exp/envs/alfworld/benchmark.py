"""Measures opening a folder of games, with an empty cache and with one that has them."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.environment import AlfworldEnvironment
from leap_exp.envs.alfworld.library import open_library

_GAMES = 1_000


def measure_opening(folder: Path) -> Mapping[str, float]:
    """Open up to 1,000 games of the first split of ``folder`` twice, with a cache that is empty at first.

    Opening is listing the tasks, and for each of them reading its file and making the first observation.
    """
    figures: dict[str, float] = {}
    split = open_library(AlfworldConfig(games=str(folder))).splits[0]
    with TemporaryDirectory() as cache, patch.dict(os.environ, LEAP_CACHE=cache):
        for name in ("first", "second"):
            wall, cores = time.perf_counter(), time.process_time()
            figures["opened_games"] = _open_all(folder, split)
            figures[f"{name}_opening_seconds"] = round(time.perf_counter() - wall, 2)
            figures[f"{name}_opening_core_seconds"] = round(time.process_time() - cores, 2)
        size = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file())
        figures["cache_kib_per_game"] = round(size / 1024 / figures["opened_games"], 1)
    return figures


def _open_all(folder: Path, split: str) -> int:
    """Open the games in a new environment; return their number."""
    config = AlfworldConfig(games=str(folder), select=f"0:{_GAMES}")
    environment = AlfworldEnvironment(config)
    tasks = environment.tasks(split)
    for task in tasks:
        with environment.open(task, seed=0) as episode:
            _ = episode.observation
    return len(tasks)
