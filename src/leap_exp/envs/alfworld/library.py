"""The games of an environment: generated households, or folders of game files."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS, generate_game
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.human_goals import human_goals, with_human_goal
from leap_exp.envs.alfworld.official import (
    GAME_FILE,
    GAMES_FOLDER,
    OFFICIAL_COUNTS,
    game_files,
    has_games,
    official_folder,
)

DEFAULT_COUNTS = {"train": 1200, "valid_seen": 120, "valid_unseen": 120}
"""Default number of built-in games in each split."""

_SHOWN_SPLITS = 5


class Library(Protocol):
    """Games by id."""

    @property
    def splits(self) -> Sequence[str]:
        """The names of the splits."""

    def ids(self, split: str) -> Sequence[str]:
        """Return the ids of the games of a split, sorted; raises ConfigError if there is no such split."""

    def text(self, game_id: str) -> str:
        """Return the text of the game's file; raises DataError if it cannot be read."""


class BuiltinLibrary(Library):
    """Households generated when they are needed; ids are "builtin/HOUSEHOLD/SEED/SPLIT/INDEX"."""

    def __init__(self, household: str, seed: int, counts: Mapping[str, int] | None) -> None:
        self._household = household
        self._seed = seed
        self._counts = DEFAULT_COUNTS | dict(counts or {})

    @property
    def splits(self) -> Sequence[str]:
        """The names of the splits."""
        return tuple(SPLIT_ROOMS)

    def ids(self, split: str) -> Sequence[str]:
        """Return the ids of the games of a split."""
        if split not in self.splits:
            raise ConfigError(f"Unknown split {split!r}: choose one of {', '.join(self.splits)}.")
        prefix = f"builtin/{self._household}/{self._seed}/{split}"
        return [f"{prefix}/{index:05d}" for index in range(self._counts[split])]

    def text(self, game_id: str) -> str:
        """Generate the game."""
        *_, split, index = game_id.split("/")
        return generate_game(split, int(index), seed=self._seed, household=self._household)


class FolderLibrary(Library):
    """Game files in a folder with a subfolder per split; ids are the files' folders, relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def splits(self) -> Sequence[str]:
        """The subfolders that contain games, official splits first."""
        folders = self._root.iterdir() if self._root.is_dir() else ()
        names = {folder.name for folder in folders if has_games(folder)}
        if not names:
            game_files(self._root)  # Says what is missing.
        return [*(split for split in OFFICIAL_COUNTS if split in names), *sorted(names - OFFICIAL_COUNTS.keys())]

    def ids(self, split: str) -> Sequence[str]:
        """Return the folders of the split's game files."""
        if split not in self.splits:
            raise ConfigError(self._unknown_split(split))
        depth = len(self._root.parts)
        return ["/".join(path.parts[depth:-1]) for path in game_files(self._root / split)]

    def text(self, game_id: str) -> str:
        """Return the text of the game's file."""
        # Not a Path, because making one takes as long as finding the file.
        path = f"{self._root}/{game_id}/{GAME_FILE}"
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The game file {path} cannot be read ({error}); install the games again.") from error

    def _unknown_split(self, split: str) -> str:
        """Return a message that names the folder to give instead if another one has the games of ``split``."""
        below = {path.relative_to(self._root).parts for path in game_files(self._root)}
        right = {self._root.joinpath(*parts[: parts.index(split)]) for parts in below if split in parts[1:]}
        # A folder within the split: its parents have the split's name in their path.
        root = self._root.resolve()
        right |= {folder.parent for folder in (root, *root.parents) if folder.name == split}
        if right:
            return f"env.games={self._root} has no split {split!r}, but {min(right)} has: set env.games to that folder."
        splits = self.splits
        some = ", ".join(splits[:_SHOWN_SPLITS]) + (" ..." if len(splits) > _SHOWN_SPLITS else "")
        return f"Unknown split {split!r}: choose one of {some or 'none'} (the folders in env.games={self._root})."


class AnnotatedLibrary(FolderLibrary):
    """Games in a folder, some or all of them with task sentences that people wrote."""

    def __init__(self, root: Path, *, probability: float, seed: int) -> None:
        super().__init__(root)
        self._sentences = human_goals(root.resolve(), probability, seed)

    def text(self, game_id: str) -> str:
        """Return the text of the game's file, with a person's sentence if one was drawn for it."""
        text = super().text(game_id)
        sentence = self._sentences.get(game_id)
        return text if sentence is None else with_human_goal(text, sentence)


def open_library(config: AlfworldConfig) -> Library:
    """Return the games that ``config.games`` names: "builtin", "official" or the path of a folder."""
    if config.games == "builtin":
        return BuiltinLibrary(config.household, config.builtin_seed, config.builtin_counts)
    folder = official_folder() if config.games == "official" else Path(config.games)
    # The release unpacks to such a folder, so its parent is what many people name.
    root = folder / GAMES_FOLDER if (folder / GAMES_FOLDER).is_dir() else folder
    if not config.human_goals:
        return FolderLibrary(root)
    return AnnotatedLibrary(root, probability=config.human_goals, seed=config.human_goals_seed)
