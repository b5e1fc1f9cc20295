"""Atomic file writes, folder locks, names of folders and the cache folder."""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from leap_exp.core.errors import StoreError

LOCK_NAME = ".lock"
LONGEST_NAME = 128
"""In bytes. W&B takes no longer names of runs; most file systems take 255 bytes."""

_AGAIN = "then run the same command again; finished stages are kept."
_ELSEWHERE = "Choose another folder."
_WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"Free disk space, {_AGAIN}"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), f"Fix the folder's permissions, {_AGAIN}"),
}


def cache_folder() -> Path:
    """Return the folder for converted weights and cached replies: ``LEAP_CACHE``, or the user's cache folder."""
    if folder := os.environ.get("LEAP_CACHE"):
        return Path(folder)
    # Imported here, because a machine that only measures speed (make gpu-check) does not have it.
    from platformdirs import user_cache_path

    return user_cache_path("leap_exp")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Report an operating system error while writing ``path``, such as a full disk, as a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno is None:  # Raised by a library, not by the operating system.
            raise
        raise StoreError(f"Cannot write {path}: {error.strerror}. {_WAYS_OUT.get(error.errno, _ELSEWHERE)}") from error


def short_name(name: str) -> str:
    """Return ``name`` as the name of one folder: no slashes or control characters, and at most ``LONGEST_NAME`` bytes.

    A name that had to be changed ends with a digest, so that different names stay different.
    """
    safe = re.sub(r"[/\x00-\x1f\x7f]", "_", name)
    if safe == name and len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    start = safe.encode(errors="replace")[: LONGEST_NAME - len(digest) - 1].decode(errors="ignore")
    return f"{start}-{digest}"


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write ``lines`` to ``path`` atomically: on any error the old file, if there is one, stays as it was."""
    part = path.with_name(path.name + ".part")
    with storing(path):
        with part.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


@contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Lock ``folder`` against other processes; the lock is released when the process ends, even if it is killed.

    Uses ``flock`` directly, not filelock, so that the lock file itself can hold the id of the process that locked it.

    Raises:
        StoreError: Another process holds the lock, and ``wait`` is false.
    """
    path = folder / LOCK_NAME
    with storing(path):
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            raise StoreError(
                f"{folder} is in use by process {file.read().strip() or 'unknown'}. Wait until it ends, stop it, or "
                "choose another run_dir."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
