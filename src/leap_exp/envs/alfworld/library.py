"""Where games come from: generated households, or folders of game files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS
from leap_exp.envs.alfworld.official import GAME_FILE, OFFICIAL_COUNTS, game_files, official_folder

DEFAULT_COUNTS = {"train": 1200, "valid_seen": 120, "valid_unseen": 120}
"""Built-in games of each split, if nothing else is asked for."""


class Library(Protocol):
    """Games by id."""

    @property
    def splits(self) -> Sequence[str]:
        """The names of the splits."""

    def ids(self, split: str) -> Sequence[str]:
        """The ids of the games of one of ``splits``, sorted."""

    def text(self, game_id: str) -> str:
        """The text of the game's file; a DataError if it cannot be read."""


class BuiltinLibrary:
    """Households made on demand; ids are "builtin/HOUSEHOLD/SEED/SPLIT/INDEX"."""

    def __init__(self, household: str, seed: int, counts: Mapping[str, int] | None) -> None:
        if household not in HOUSEHOLDS:
            raise ConfigError(f"Unknown household {household!r}: choose one of {', '.join(HOUSEHOLDS)}.")
        unknown = sorted((counts or {}).keys() - SPLIT_ROOMS.keys())
        if unknown:
            raise ConfigError(f"Built-in games have no split {unknown[0]!r}: choose from {', '.join(SPLIT_ROOMS)}.")
        self._household = household
        self._seed = seed
        self._counts = DEFAULT_COUNTS | dict(counts or {})

    @property
    def splits(self) -> Sequence[str]:
        """The names of the splits."""
        return tuple(SPLIT_ROOMS)

    def ids(self, split: str) -> Sequence[str]:
        """As many ids as the split has games."""
        prefix = f"builtin/{self._household}/{self._seed}/{split}"
        return [f"{prefix}/{index:05d}" for index in range(self._counts[split])]

    def text(self, game_id: str) -> str:
        """The game, made anew."""
        *_, split, index = game_id.split("/")
        return generate_game(split, int(index), seed=self._seed, household=self._household)


class FolderLibrary:
    """Game files in a folder with a subfolder a split; ids are the folders of the files, relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def splits(self) -> Sequence[str]:
        """The subfolders that hold games, the official ones first."""
        names = {path.relative_to(self._root).parts[0] for path in game_files(self._root)} - {GAME_FILE}
        return [*(split for split in OFFICIAL_COUNTS if split in names), *sorted(names - OFFICIAL_COUNTS.keys())]

    def ids(self, split: str) -> Sequence[str]:
        """The folders of the split's game files."""
        return [path.parent.relative_to(self._root).as_posix() for path in game_files(self._root / split)]

    def text(self, game_id: str) -> str:
        """The text of the game's file."""
        path = self._root / game_id / GAME_FILE
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The game file {path} cannot be read ({error}); install the games anew.") from error


def open_library(games: str, *, household: str, seed: int, counts: Mapping[str, int] | None) -> Library:
    """The games that ``games`` names: "builtin", "official", or the path of a folder."""
    if games == "builtin":
        return BuiltinLibrary(household, seed, counts)
    return FolderLibrary(official_folder() if games == "official" else Path(games))
