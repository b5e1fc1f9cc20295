"""Files that are written whole or not at all, locks, and the cache folder."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from leap_exp.core.errors import StoreError

LOCK_NAME = ".lock"


def cache_folder() -> Path:
    """Where converted weights and replies are kept: ``LEAP_CACHE``, or ``leap_exp`` in the user's cache folder."""
    root = os.environ.get("LEAP_CACHE")
    if root:
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leap_exp"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write ``path`` (a full disk, missing rights) into one clear error."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno is None:  # raised by a library on purpose, not by the operating system
            raise
        raise StoreError(
            f"Cannot write {path}: {error.strerror}. Nothing finished is lost; make room (or mend the folder's rights) "
            "and give the same command again."
        ) from error


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write ``lines`` to ``path`` so that the file is there whole or, whatever happens, as it was before."""
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
    """Keep other processes out of ``folder``; the lock goes with the process, however it ends.

    Raises:
        StoreError: another process holds the lock, and ``wait`` is false.
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
                f"{folder} is in use by process {file.read().strip() or 'unknown'}; wait for it, end it, or choose "
                "another run_dir."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
