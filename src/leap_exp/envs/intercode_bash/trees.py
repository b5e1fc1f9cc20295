"""File trees: what lies in a sandbox when an episode begins, as data."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from leap_exp.core.errors import DataError

USUAL_TIME = 1_700_000_000
"""When files without a time of their own were last changed (seconds since 1970): trees are the same every day."""

RECORDED = datetime(2023, 5, 26, 12, tzinfo=UTC).timestamp()
"""About when the authors' trees were made and their runs logged."""
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file (with ``content``) or a directory (without) at the absolute ``path``."""

    path: str
    mode: int
    content: bytes | None = None
    changed: float = USUAL_TIME

    def __post_init__(self) -> None:
        """Refuse a path that leads out of the tree."""
        if not self.path.startswith("/") or ".." in self.path.split("/") or self.path.endswith("/"):
            raise DataError(f"{self.path!r} is no absolute path of a file or directory.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    """Entries under a name; every directory comes before what lies in it.

    With ``made``, the time at which the entries' times were right, they are moved to where they are as old as they were
    then: a file that was fresh is fresh, one that was a month old is a month old.
    """

    name: str
    entries: tuple[Entry, ...]
    made: float | None = None
    variables: tuple[tuple[str, str], ...] = ()
    """Of the environment of every command, beside those that all trees have."""

    @property
    def digest(self) -> str:
        """SHA-256 over all entries: equal digests mean equal trees."""
        digest = hashlib.sha256(repr((self.made, self.variables)).encode())
        for entry in self.entries:
            digest.update(repr((entry.path, entry.mode, entry.content, entry.changed)).encode())
        return digest.hexdigest()

    def write(self, root: Path, *, now: float) -> None:
        """Make the tree under ``root``, which stands for ``/``. Directories get their modes and times last."""
        later = now - self.made if self.made is not None else 0.0
        for entry in self.entries:
            path = root / entry.path[1:]
            if entry.content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.content)
        for entry in reversed(self.entries):
            path = root / entry.path[1:]
            path.chmod(entry.mode)
            changed = entry.changed + later
            # However old a file's contents are made to look, it has been read when it was put there.
            os.utime(path, (changed if self.made is None else now, changed))


def read_tree(path: Path, *, age_days: float = 0.0) -> FileTree:
    """The tree that the JSON file ``path`` lists: path, type, octal mode, text or base64, and ``mtime`` where set.

    Entries without an ``mtime`` are ``age_days`` old.

    Raises:
        DataError: The file cannot be read as such a list.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(_entries(listed, RECORDED - age_days * _DAY))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not list the entries of a file tree ({error!r}).") from error
    return FileTree(name=path.stem, entries=entries, made=RECORDED)


def list_tree(tree: FileTree) -> str:
    """The JSON file for ``read_tree``; entries that changed when the tree was made have no ``mtime``."""
    return json.dumps([_listed(entry, tree.made) for entry in tree.entries], indent=1) + "\n"


def _listed(entry: Entry, made: float | None) -> dict[str, str]:
    listed = {"path": entry.path, "mode": f"{entry.mode:o}", "type": "dir" if entry.content is None else "file"}
    if entry.content is not None:
        try:
            listed["text"] = entry.content.decode()
        except UnicodeDecodeError:
            listed["base64"] = base64.b64encode(entry.content).decode()
    if entry.changed != made:
        listed["mtime"] = datetime.fromtimestamp(entry.changed, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return listed


def _entries(listed: list[Mapping[str, str]], built: float) -> Iterator[Entry]:
    for entry in sorted(listed, key=lambda each: each["path"]):
        if entry["type"] not in ("file", "dir"):
            raise DataError(f"{entry['path']} is a {entry['type']!r}, neither a file nor a directory.")
        content = None
        if entry["type"] == "file":
            content = base64.b64decode(entry["base64"]) if "base64" in entry else entry["text"].encode()
        changed = datetime.fromisoformat(entry["mtime"]).timestamp() if "mtime" in entry else built
        yield Entry(path=entry["path"], mode=int(entry["mode"], 8), content=content, changed=changed)
