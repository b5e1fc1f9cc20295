"""Installs ALFWorld's official games from the authors' archive, and reads what is installed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.alfworld.official import GAMES_FOLDER, OFFICIAL_COUNTS, verify_games
from leap_exp.envs.installation import OnProgress, data_folder, download, replace_folder

URL = "https://github.com/alfworld/alfworld/releases/download/0.4.2/json_2.1.3_tw-pddl.zip"


class AlfworldData:
    """The games of ALFWorld's release."""

    description = "ALFWorld's text games (release 0.4.2; MIT)"
    source = "the authors' archive, a file"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Where the games are installed; it need not exist."""
        return data_folder() / "alfworld"

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Install from the archive ``source``, or from the authors' address; says what is there now.

        Raises:
            DataError: The archive cannot be had, or is not what it should be. What was installed before is still there.
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
            raise DataError(f"The games could not be installed at {folder}: {error.strerror or error}.") from error
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
        """Read every installed game and say how many there are.

        Raises:
            DataError: There are none, or one cannot be played.
        """
        return _report(self.folder(size), on_progress)


def _unpack(archive: Path, folder: Path, on_progress: OnProgress) -> None:
    """Unpack all of ``archive`` to ``folder``; the checksum of every member is checked as it is read."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for done, member in enumerate(members, start=1):
                opened.extract(member, folder)
                on_progress("unpacking", done, len(members))
    except FileNotFoundError as error:
        raise DataError(f"There is no archive at {archive}.") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"The archive {archive} is broken or incomplete ({error}): download it again.") from error


def _report(folder: Path, on_progress: OnProgress) -> Sequence[str]:
    """Read everything and put the counts beside the official ones."""
    counts = verify_games(folder / GAMES_FOLDER, lambda done, total: on_progress("reading", done, total))
    splits = [*OFFICIAL_COUNTS, *sorted(counts.keys() - OFFICIAL_COUNTS.keys())]
    official = {split: f"{OFFICIAL_COUNTS[split]:,}" if split in OFFICIAL_COUNTS else "none" for split in splits}
    return [f"{split:14}{counts.get(split, 0):6,} readable   official {official[split]}" for split in splits]
