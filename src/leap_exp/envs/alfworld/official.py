"""The official games: where they are installed and how their files are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.game import read_game
from leap_exp.envs.installation import data_folder

OFFICIAL_COUNTS = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
"""Games in each split of ALFWorld's release."""

GAMES_FOLDER = "json_2.1.1"
GAME_FILE = "game.tw-pddl"


def official_folder() -> Path:
    """Where the official games are installed; it need not exist."""
    return data_folder() / "alfworld" / GAMES_FOLDER


def game_files(folder: Path) -> list[Path]:
    """Every game file under ``folder``, sorted by path.

    Raises:
        DataError: The folder is missing or holds no game.
    """
    if not folder.is_dir():
        raise DataError(
            f"There is no folder of games at {folder}: run python -m leap_exp.data install alfworld, or name another."
        )
    # Sorted by parts, so that the order is that of the folders whatever separates them.
    found = sorted(folder.rglob(GAME_FILE), key=lambda path: path.relative_to(folder).parts)
    if not found:
        raise DataError(f"The folder {folder} holds no {GAME_FILE} file.")
    return found


def verify_games(folder: Path, on_progress: Callable[[int, int], None]) -> Mapping[str, int]:
    """Read every game under ``folder`` and count those of each split.

    Raises:
        DataError: There are none, or one cannot be played.
    """
    files = game_files(folder)
    counts: Counter[str] = Counter()
    for done, path in enumerate(files, start=1):
        read_game(path)
        counts[path.relative_to(folder).parts[0]] += 1
        on_progress(done, len(files))
    return counts
