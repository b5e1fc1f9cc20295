"""Atomic file writes, folder locks, names of folders and the cache folder."""

import errno
import fcntl
import hashlib
import logging
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from leap_exp.core.errors import StoreError

logger = logging.getLogger(__name__)

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


def process_name() -> str:
    """Return a name for this process that no other has, also among machines that share a file system: HOST.ID."""
    return f"{socket.gethostname()}.{os.getpid()}"


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
def locked(folder: Path, *, wait: bool, name: str = LOCK_NAME) -> Iterator[None]:
    """Lock ``folder`` against other processes; the lock is released when the process ends, even if it is killed.

    Uses ``flock`` directly, not filelock, so that the lock file itself can hold the process that locked it. On a shared
    file system (NFS, Lustre with ``-o flock``) the lock holds on all machines.

    Args:
        folder: The folder, which must exist.
        wait: Wait until the lock is free. The log says so.
        name: The lock file in the folder; locks with different names are independent.

    Raises:
        StoreError: Another process holds the lock, and ``wait`` is false; or the file system has no locks.
    """
    path = folder / name
    with storing(path):
        file = path.open("a+")
    with file:
        if not _lock(file.fileno(), path):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            if not wait:
                raise StoreError(
                    f"{folder} is in use by process {holder}. Wait until it ends, stop it, or choose another run_dir."
                )
            logger.info("Waiting for process %s, which is working in %s.", holder, folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a process has locked ``folder``, on any machine that shares the file system's locks."""
    try:
        with (folder / LOCK_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(descriptor: int, path: Path) -> bool:
    """Try to lock an open file, for long enough that ``is_locked`` of another process does not matter."""
    for pause in (0.0, 0.05, 0.2):
        time.sleep(pause)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError as error:
            raise StoreError(
                f"The file system of {path} cannot lock files ({error.strerror}): mount it with locks (for Lustre "
                "with -o flock), or choose a folder elsewhere."
            ) from error
        return True
    return False
