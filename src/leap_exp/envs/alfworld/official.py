"""ALFWorld's official games: where they are installed, and how they are installed and verified."""

import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.datasets import Dataset, OnProgress, data_folder, download, replace_folder

URL = "https://github.com/alfworld/alfworld/releases/download/0.4.2/json_2.1.3_tw-pddl.zip"

OFFICIAL_COUNTS = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
"""Number of games in each split of ALFWorld's release."""

GAMES_FOLDER = "json_2.1.1"
GAME_FILE = "game.tw-pddl"


def official_folder() -> Path:
    """Return the folder of the installed official games, which may not exist."""
    return data_folder() / "alfworld" / GAMES_FOLDER


def game_files(folder: Path) -> list[Path]:
    """Return all game files under ``folder``, sorted by path.

    Raises:
        DataError: The folder is missing or contains no game.
    """
    if not folder.is_dir():
        raise DataError(
            f"The games folder {folder} does not exist: run leap data install alfworld, or give another folder."
        )
    # Path.rglob takes several times as long. Sorted by components, the order does not depend on the path separator.
    found = sorted([Path(where, GAME_FILE) for where, _, names in os.walk(folder) if GAME_FILE in names], key=_parts)
    if not found:
        raise DataError(f"The folder {folder} contains no {GAME_FILE} file.")
    return found


def has_games(folder: Path) -> bool:
    """Return whether there is a game file under ``folder``."""
    return any(GAME_FILE in names for _, _, names in os.walk(folder))


def _parts(path: Path) -> tuple[str, ...]:
    return path.parts


class AlfworldData(Dataset):
    """The games of ALFWorld's release."""

    description = "ALFWorld's text games (release 0.4.2; MIT)"
    source = "the release archive, a .zip file"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Return the folder of the games, which may not exist yet."""
        return data_folder() / "alfworld"

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Install from the archive ``source``, or download it; return the number of games per split.

        Raises:
            DataError: The archive cannot be downloaded, or is broken. An earlier installation is kept.
        """
        folder = self.folder(size)
        fresh = folder.with_name(f"{folder.name}.part")
        archive = source or folder.with_name(URL.rsplit("/", 1)[-1])
        if source is None:
            download(URL, archive, on_progress)
        try:
            _unpack(archive, fresh, on_progress)
            report = _report(fresh, on_progress)
            replace_folder(folder, fresh)
        except OSError as error:
            raise DataError(f"Cannot install the games at {folder}: {error.strerror or error}.") from error
        except DataError:
            if source is None:
                archive.unlink()
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        if source is None:
            archive.unlink()
        return report

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Read every installed game; return the number of games per split.

        Raises:
            DataError: There are no games, or one cannot be played.
        """
        return _report(self.folder(size), on_progress)


def _unpack(archive: Path, folder: Path, on_progress: OnProgress) -> None:
    """Unpack ``archive`` to ``folder``; zipfile verifies the checksum of every member."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for done, member in enumerate(members, start=1):
                opened.extract(member, folder)
                on_progress("unpacking", done, len(members))
    except FileNotFoundError as error:
        raise DataError(f"The archive {archive} does not exist.") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"The archive {archive} is broken or incomplete ({error}): download it again.") from error


def _report(folder: Path, on_progress: OnProgress) -> Sequence[str]:
    """Read every game and compare the counts with the official ones."""
    games = folder / GAMES_FOLDER
    files = game_files(games)
    counts: Counter[str] = Counter()
    for done, path in enumerate(files, start=1):
        read_game(path)
        counts[path.relative_to(games).parts[0]] += 1
        on_progress("reading", done, len(files))
    splits = [*OFFICIAL_COUNTS, *sorted(counts.keys() - OFFICIAL_COUNTS.keys())]
    official = {split: f"{OFFICIAL_COUNTS[split]:,}" if split in OFFICIAL_COUNTS else "none" for split in splits}
    return [f"{split:14}{counts[split]:6,} readable   official {official[split]}" for split in splits]
