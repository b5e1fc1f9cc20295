"""What bubblewrap sandboxes leave on a machine: the files that one engine uses, and what is left of others."""

import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from leap_exp.runs import process_name

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_SHARED = re.compile(r"(host|tree)-[0-9a-f]+|mounted")
"""Names in the cache folder that belong to no process: bases, layers and the (empty) mount point."""


def own_prefix(started: float) -> str:
    """Return the prefix of the folders that only one engine of this process uses."""
    return f"fresh-{process_name()}-{started}-"


def remove_own_files(cache_folder: Path, started: float) -> None:
    """Remove the engine's own folders. The name has the process id, so a forked process keeps its parent's folders."""
    for path in sorted(cache_folder.glob(f"{own_prefix(started)}*")):
        remove(path)


def remove_orphan_files(cache_folder: Path) -> None:
    """Remove the unfinished and private folders of processes of this machine that have ended."""
    host = re.escape(socket.gethostname())
    for path in sorted(cache_folder.iterdir()):
        owner = re.fullmatch(rf"fresh-{host}\.(\d+)-.*|.*\.{host}\.(\d+)\.part", path.name)
        if owner and not Path(f"/proc/{owner[1] or owner[2]}").exists():
            remove(path)


def remove(folder: Path) -> None:
    """Remove ``folder`` whatever its modes: an overlay leaves folders that only root can read."""
    for parent, names, _ in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            # Another process may be removing the same folder.
            with suppress(OSError):
                if not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def find_orphans(cache_folder: Path, mount_point: Path) -> Mapping[str, Sequence[str]]:
    """List processes, mounts, namespaces and files of sandboxes; see ``BubblewrapEngine.orphans``."""
    # mountinfo writes blanks in octal.
    cache = os.fsencode(cache_folder).replace(b" ", rb"\040")
    mounts: set[str] = set()
    processes: list[str] = []
    namespaces = set(_open_namespaces(Path("/proc/self")))
    for process in sorted(Path("/proc").glob("[0-9]*")):
        seen = [line for line in _read(process / "mountinfo").splitlines() if cache in line]
        command = _read(process / "cmdline")
        mounts |= {os.fsdecode(line) for line in seen}
        if process.name != str(os.getpid()) and (seen or os.fsencode(mount_point) in command):
            processes.append(f"{process.name} {os.fsdecode(command).replace(chr(0), ' ').strip()}")
            namespaces |= {*_namespaces(process), *_open_namespaces(process)}
    files = [path.name for path in sorted(cache_folder.iterdir()) if not _is_in_use(path.name)]
    files += [f"{mount_point.name}/{path.name}" for path in sorted(mount_point.iterdir())]
    return {
        "processes": processes,
        "mounts": sorted(mounts),
        "namespaces": sorted(namespaces - set(_namespaces(Path("/proc/self")))),
        "files": files,
    }


def _is_in_use(name: str) -> bool:
    """Return whether this file of the cache folder is shared, or belongs to this process."""
    return bool(_SHARED.fullmatch(name)) or name.startswith(f"fresh-{process_name()}-")


def _namespaces(process: Path) -> Iterator[str]:
    """Yield the namespaces of a process."""
    return _targets(process / "ns" / kind for kind in _NAMESPACES)


def _open_namespaces(process: Path) -> Iterator[str]:
    """Yield the namespaces that a process has open file descriptors of."""
    try:
        descriptors = sorted((process / "fd").iterdir())
    except OSError:
        return
    yield from (target for target in _targets(iter(descriptors)) if target.partition(":[")[0] in _NAMESPACES)


def _targets(links: Iterator[Path]) -> Iterator[str]:
    """Yield the targets of the links that exist and can be read."""
    for link in links:
        try:
            yield str(link.readlink())
        except OSError:
            continue


def _read(path: Path) -> bytes:
    """Return the contents; empty if the process has ended or belongs to another user."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
