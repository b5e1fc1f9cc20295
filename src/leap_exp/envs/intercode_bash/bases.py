"""Bases: the programs that a bubblewrap sandbox has, beneath the file tree of a task."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.installation import data_folder, replace_folder

HOST, ROOTFS = "host", "rootfs"
BASES = (HOST, ROOTFS)

_VERSION = 1
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS = ("dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var/tmp")
# What programs in /usr look up in /etc, of the machine's own; nothing that tells who uses it.
_SHARED = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "magic", "mime.types", "protocols", "services")
_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "hostname": "sandbox\n",
    "hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tsandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A folder that becomes ``/``, with paths of the machine that are seen there read-only.

    ``identity`` changes when the base does, as far as can be told without reading it all.
    """

    name: str
    folder: Path
    shown: Sequence[str]
    identity: str


def rootfs_folder() -> Path:
    """Where the root file system with the original image's tools is installed; it need not exist."""
    return data_folder() / "intercode" / ROOTFS


def open_base(name: str, cache: Path) -> Base:
    """The base called ``name``; "host" is made in ``cache`` from what the machine has.

    Raises:
        ConfigError: There is no such base.
        DataError: "rootfs" is not installed, or is of no use to this user.
    """
    if name == HOST:
        return _host(cache)
    if name != ROOTFS:
        raise ConfigError(f"Unknown base {name!r}: choose one of {', '.join(BASES)}.")
    folder = rootfs_folder()
    if not (folder / "bin" / "bash").exists():
        raise DataError(
            f"There is no root file system at {folder}: run python -m leap_exp.data install intercode_rootfs, or take "
            f"env.base={HOST}."
        )
    if os.geteuid() not in (0, folder.stat().st_uid):
        raise DataError(
            f"The root file system at {folder} is another user's, so that its files could not be changed without root: "
            "let LEAP_DATA name a folder of yours and install one there from an image (python -m leap_exp.data install "
            "intercode_rootfs --from IMAGE.tar)."
        )
    return Base(name=ROOTFS, folder=folder, shown=(), identity=f"{folder} {folder.stat().st_mtime_ns}")


def _host(cache: Path) -> Base:
    """The machine's own ``/usr``, and beside it the little that programs need."""
    links = {name: str(Path(f"/{name}").readlink()) for name in _TOP if Path(f"/{name}").is_symlink()}
    folders = [name for name in _TOP if name not in links and Path(f"/{name}").is_dir()]
    shared = [f"etc/{name}" for name in _SHARED if Path(f"/etc/{name}").exists()]
    contents = repr((_VERSION, sorted(links.items()), folders, shared, sorted(_ETC.items())))
    folder = cache / f"host-{hashlib.sha256(contents.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        _write_host(folder, links, folders, shared)
    shown = tuple(f"/{name}" for name in ("usr", *folders, *shared))
    return Base(name=HOST, folder=folder, shown=shown, identity=contents)


def _write_host(folder: Path, links: dict[str, str], folders: list[str], shared: list[str]) -> None:
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    for name in (*_FOLDERS, *folders):
        (fresh / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (fresh / name).chmod(0o1777)
    for name, target in links.items():
        (fresh / name).symlink_to(target)
    for name, text in _ETC.items():
        (fresh / "etc" / name).write_text(text)
    for name in shared:
        # Something must be there for the machine's own to be mounted on.
        (fresh / name).mkdir() if Path(f"/{name}").is_dir() else (fresh / name).touch()
    replace_folder(folder, fresh)
