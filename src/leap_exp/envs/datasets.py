"""Benchmark data: where it is installed, downloads, and replacing a folder in one step."""

import os
import shutil
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from leap_exp.core.errors import DataError

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_HTTP_PARTIAL, _HTTP_BAD_RANGE = 206, 416

OnProgress = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done and its total (bytes, files or entries)."""


class Dataset(Protocol):
    """Benchmark data that ``leap data`` installs and verifies.

    Attributes:
        description: What it is, in a few words.
        source: What ``--from`` takes.
        sizes: The sizes to choose from, the default first; empty if there is only one.
    """

    description: str
    source: str
    sizes: Sequence[str]

    def folder(self, size: str | None) -> Path:
        """Return the folder where it is installed, which may not exist yet."""

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Install from ``source``, or download; return lines that describe what is installed."""

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Read everything that is installed; return lines that describe it."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def data_folder() -> Path:
    """Return the folder for benchmark data: ``LEAP_DATA``, or ``leap_exp`` in the user's cache folder."""
    if folder := os.environ.get("LEAP_DATA"):
        return Path(folder)
    # Imported here, because a machine that only measures speed (make gpu-check) does not have it.
    from platformdirs import user_cache_path

    return user_cache_path("leap_exp", appauthor=False)


def replace_folder(folder: Path, fresh: Path) -> None:
    """Replace ``folder``, if it exists, by ``fresh``."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def download(url: str, target: Path, on_progress: OnProgress) -> None:
    """Download ``url`` to the file ``target``, if that does not exist, and resume an interrupted download.

    Written by hand because pooch does not resume downloads, and these are gigabytes.

    Raises:
        DataError: The download fails or is interrupted, or the server sends a web page instead.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _fetch(url, part, on_progress)
            part.rename(target)
    except HTTPError as error:
        raise DataError(f"{url} answered {error.code} {error.reason}: download it by hand and use --from.") from error
    except (OSError, HTTPException) as error:
        raise DataError(
            f"The download of {url} was interrupted ({error}): run the command again to resume it, or use --from."
        ) from error


def _fetch(url: str, part: Path, on_progress: OnProgress) -> None:
    have = part.stat().st_size if part.exists() else 0
    # The addresses are constants of this package, all https.
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        response = urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310
    except HTTPError as error:
        if error.code != _HTTP_BAD_RANGE:
            raise
        # The server has nothing beyond our part, so it is not a part of this file: start over.
        part.unlink()
        _fetch(url, part, on_progress)
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DataError(
                f"{url} sent a web page instead of the file, as it does after too many downloads: try again tomorrow, "
                "or get the file elsewhere and use --from."
            )
        if response.status != _HTTP_PARTIAL:
            have = 0
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                on_progress(f"downloading {part.stem}", have, max(total, have))
    if have < total:
        raise DataError(f"{have} of {total} bytes of {url} arrived: run the command again to resume.")
