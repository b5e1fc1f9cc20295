"""What sandboxes of bubblewrap have left on this machine, as seen from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_KEPT = re.compile(r"(host|tree)-[0-9a-f]+|mounted")
"""What belongs to no process: bases, layers, and the folder (empty outside sandboxes) that they are mounted on."""


def find_residue(cache_folder: Path, mount_point: Path) -> Mapping[str, Sequence[str]]:
    """Processes, mounts, namespaces and files of sandboxes in ``cache_folder``, a line each.

    What runs in a sandbox has a file system made from that folder as its root, and what sets one up names the mount
    point: a process is found by either. Sandboxes that other processes use just now are found as well.
    """
    # Blanks stand there in octal.
    named = os.fsencode(cache_folder).replace(b" ", rb"\040")
    mounts: set[str] = set()
    processes: list[str] = []
    namespaces = set(_descriptors_of_namespaces(Path("/proc/self")))
    for process in sorted(Path("/proc").glob("[0-9]*")):
        seen = [line for line in _read(process / "mountinfo").splitlines() if named in line]
        command = _read(process / "cmdline")
        mounts |= {os.fsdecode(line) for line in seen}
        if process.name != str(os.getpid()) and (seen or os.fsencode(mount_point) in command):
            processes.append(f"{process.name} {os.fsdecode(command).replace(chr(0), ' ').strip()}")
            namespaces |= {*_namespaces(process), *_descriptors_of_namespaces(process)}
    files = [path.name for path in sorted(cache_folder.iterdir()) if not _is_in_use(path.name)]
    files += [f"{mount_point.name}/{path.name}" for path in sorted(mount_point.iterdir())]
    return {
        "processes": processes,
        "mounts": sorted(mounts),
        "namespaces": sorted(namespaces - set(_namespaces(Path("/proc/self")))),
        "files": files,
    }


def _is_in_use(name: str) -> bool:
    """Whether this file of the cache belongs to all, or to this very process."""
    return bool(_KEPT.fullmatch(name)) or name.startswith(f"fresh-{os.getpid()}-")


def _namespaces(process: Path) -> Iterator[str]:
    return _targets(process / "ns" / kind for kind in _KINDS)


def _descriptors_of_namespaces(process: Path) -> Iterator[str]:
    try:
        descriptors = sorted((process / "fd").iterdir())
    except OSError:
        return
    yield from (target for target in _targets(iter(descriptors)) if target.partition(":[")[0] in _KINDS)


def _targets(links: Iterator[Path]) -> Iterator[str]:
    """Where ``links`` lead; those that are gone meanwhile are left out, and those that may not be read."""
    for link in links:
        try:
            yield str(link.readlink())
        except OSError:
            continue


def _read(path: Path) -> bytes:
    """The file, or nothing if its process has ended or is another user's."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
