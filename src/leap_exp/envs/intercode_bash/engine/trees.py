"""File trees: the files in a sandbox when an episode starts, and the git commands that track changes to them."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.core.text import content_digest

USUAL_TIME = 1_700_000_000
"""Default modification time of files, in seconds since 1970. It is fixed so that trees are the same every day."""

RECORDED = datetime(2023, 5, 26, 12, tzinfo=UTC).timestamp()
"""About when the authors made their file trees and logged their runs."""
_DAY = 86_400

_SETUP = re.compile(r"/setup_nl2b_fs_\d+\.sh")
"""The path of the script that makes a recorded tree."""

IGNORED = (
    *("bin", "boot", "dev", "etc", "home", "lib", "media", "opt", "proc", "root", "run", "sbin", "srv", "sys", "usr"),
    "var",
    ".dockerenv",
)
"""Names that git ignores, at any depth."""

GIT_IGNORE = "".join(f"{name}\n" for name in IGNORED)

RESET = "git reset --hard; git clean -fd;"
"""The original runs this before every episode. It also removes empty folders, including /tmp."""
STATUS = "git status --short;"
"""Lists the changes to files: all of ``/`` is a git repository, as in the original image."""

PREPARE = (
    "set -e; git config --global user.email nobody@example.org; git config --global user.name nobody; git init -q; "
    "git add -A; git commit -q -m 'initial commit'; " + RESET
)
"""Makes ``/`` a git repository with one commit, and resets it once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or directory at the absolute ``path``; a directory has no ``content``."""

    path: str
    mode: int
    content: bytes | None = None
    changed: float = USUAL_TIME
    """Modification time, in seconds since 1970."""

    def __post_init__(self) -> None:
        """Check that the path is absolute and stays inside the tree; raises DataError."""
        if not self.path.startswith("/") or ".." in self.path.split("/") or self.path.endswith("/"):
            raise DataError(
                f"{self.path!r} is not a path for a file tree: it must be absolute, without '..' or a final slash."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    """A named list of files and directories; each directory comes before its contents.

    Attributes:
        made: When the tree was recorded, in seconds since 1970. All modification times are shifted by the time since
            then, so that files have the age that they had when it was recorded. None: times are kept as they are.
        variables: Environment variables of every command, beside those that all trees have.
    """

    name: str
    entries: tuple[Entry, ...]
    made: float | None = None
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all entries and variables."""
        digest = hashlib.sha256(repr((self.made, self.variables)).encode())
        for entry in self.entries:
            digest.update(repr((entry.path, entry.mode, entry.content, entry.changed)).encode())
        return digest.hexdigest()

    @property
    def digest_of_contents(self) -> str:
        """16 hexadecimal digits of a SHA-256 of the files, equal for every installation of a recorded tree.

        Dumps of recorded trees lack the set-up script, and the script packs its archives anew at each installation,
        with the times of that moment: of these only the paths count.
        """
        listed = [
            [
                entry.path,
                entry.mode,
                entry.changed,
                None if entry.content is None or self._is_made_anew(entry) else entry.content.hex(),
            ]
            for entry in self.entries
        ]
        return content_digest([entry for entry in listed if self.made is None or not _SETUP.fullmatch(str(entry[0]))])

    def _is_made_anew(self, entry: Entry) -> bool:
        return self.made is not None and entry.path.endswith((".gz", ".tar"))

    def write(self, root: Path, *, now: float) -> None:
        """Write the tree to ``root``, which becomes ``/``; ``now`` is the time in seconds since 1970."""
        shift = now - self.made if self.made is not None else 0.0
        for entry in self.entries:
            path = root / entry.path[1:]
            if entry.content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.content)
        # Writing a file changes its directory's time, so modes and times come last, innermost first.
        for entry in reversed(self.entries):
            path = root / entry.path[1:]
            path.chmod(entry.mode)
            changed = entry.changed + shift
            # A file of a recorded tree was last read when the tree was set up, whatever its modification time.
            os.utime(path, (changed if self.made is None else now, changed))


def read_tree(path: Path, *, age_days: float = 0.0) -> FileTree:
    """Read a tree from a JSON list of entries with path, type, octal mode, text or base64, and perhaps mtime.

    Entries without ``mtime`` are ``age_days`` old.

    Raises:
        DataError: The file is not such a list.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(_entries(listed, RECORDED - age_days * _DAY))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a list of the files of a tree ({error!r}): install the data again.") from error
    return FileTree(name=path.stem, entries=entries, made=RECORDED)


def tree_to_json(tree: FileTree) -> str:
    """Return the JSON that ``read_tree`` reads; entries as old as the tree get no ``mtime``."""
    return json.dumps([_to_json(entry, tree.made) for entry in tree.entries], indent=1) + "\n"


def _to_json(entry: Entry, made: float | None) -> dict[str, str]:
    listed = {"path": entry.path, "mode": f"{entry.mode:o}", "type": "dir" if entry.content is None else "file"}
    if entry.content is not None:
        try:
            listed["text"] = entry.content.decode()
        except UnicodeDecodeError:
            listed["base64"] = base64.b64encode(entry.content).decode()
    if entry.changed != made:
        listed["mtime"] = datetime.fromtimestamp(entry.changed, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return listed


def _entries(listed: list[Mapping[str, str]], default_time: float) -> Iterator[Entry]:
    for entry in sorted(listed, key=lambda each: each["path"]):
        if entry["type"] not in ("file", "dir"):
            raise DataError(f"{entry['path']} has the type {entry['type']!r}; it must be 'file' or 'dir'.")
        content = None
        if entry["type"] == "file":
            content = base64.b64decode(entry["base64"]) if "base64" in entry else entry["text"].encode()
        changed = datetime.fromisoformat(entry["mtime"]).timestamp() if "mtime" in entry else default_time
        yield Entry(path=entry["path"], mode=int(entry["mode"], 8), content=content, changed=changed)
