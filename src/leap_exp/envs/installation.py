"""Where benchmark data is installed, and getting it there: downloads, and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from leap_exp.core.errors import DataError

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_HTTP_PARTIAL, _HTTP_BAD_RANGE = 206, 416

OnProgress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done and how much there is (bytes, files or entries)."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def data_folder() -> Path:
    """Where benchmark data is installed: ``LEAP_DATA``, or the user's cache folder."""
    if named := os.environ.get("LEAP_DATA"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "leap_exp"


def replace_folder(folder: Path, fresh: Path) -> None:
    """Put ``fresh`` in the place of ``folder``, which need not exist."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def download(url: str, target: Path, on_progress: OnProgress) -> None:
    """Download ``url`` to the file ``target`` unless it is there; goes on where an earlier download stopped.

    Raises:
        DataError: It cannot be downloaded, or not to its end, or a web page came in its place.
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
            f"The download of {url} stopped ({error}): run the command again to go on where it stopped, or use --from."
        ) from error


def _fetch(url: str, part: Path, on_progress: OnProgress) -> None:
    have = part.stat().st_size if part.exists() else 0
    # The address is one of ours, and always https.
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        response = urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310
    except HTTPError as error:
        if error.code != _HTTP_BAD_RANGE:
            raise
        # Nothing lies beyond what is there, so that it is no part of this file: begin again.
        part.unlink()
        _fetch(url, part, on_progress)
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DataError(
                f"{url} sent a web page and no file, as it does when too many people have downloaded it lately: "
                f"try again tomorrow, or get the file elsewhere and use --from."
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
        raise DataError(f"{have} of {total} bytes of {url} arrived: run the command again to go on.")
