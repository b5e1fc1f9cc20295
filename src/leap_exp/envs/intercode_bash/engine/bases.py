"""Bases: the programs that a sandbox has below a file tree, and the installer of the root file system for them."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import Dataset, OnProgress, data_folder, replace_folder
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind
from leap_exp.envs.intercode_bash.engine.trees import USUAL_TIME
from leap_exp.runs import process_name

_VERSION = 1
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS = ("dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var/tmp")
# Files of the machine's /etc that programs in /usr need. None of them identifies its users.
_SHARED = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "magic", "mime.types", "protocols", "services")
_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "hostname": "sandbox\n",
    "hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tsandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

RELEASE = "bullseye"
"""The Debian release whose tools are closest to those of the original image, an Ubuntu 22.04."""

PACKAGES = (
    *("bash", "bsdmainutils", "coreutils", "cpio", "curl", "dnsutils", "git", "imagemagick", "iputils-ping"),
    *("jq", "net-tools", "procps", "psmisc", "python3", "tree"),
)
"""The packages that the original image installs, with their recommendations, and those that Ubuntu's image has."""

# Ubuntu's image has no documentation.
_EXCLUDED = (
    *("usr/share/doc/*", "usr/share/groff/*", "usr/share/info/*", "usr/share/linda/*", "usr/share/lintian/*"),
    *("usr/share/man/*", "usr/share/locale/*/LC_MESSAGES/*.mo"),
)
_EXCLUDE = "".join(f"path-exclude=/{pattern}\n" for pattern in _EXCLUDED) + "path-include=/usr/share/doc/*/copyright\n"
_APT = "DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y"
# Debian's cron recommends a mail server; Ubuntu's does not.
_INSTALL = (
    f"{_APT} update && {_APT} install --no-install-recommends cron && {_APT} install {' '.join(PACKAGES)} && "
    f"{_APT} clean && rm -rf /var/lib/apt/lists/*"
)
_NO_SERVICES = "#!/bin/sh\nexit 101\n"

_CONFIGURATION = {
    "hostname": "sandbox\n",
    "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tsandbox\n",
    # There is no network: looking up a name fails at once, and nothing shows the network of the machine.
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    "resolv.conf": "",
}
_LINES = 1300
"""About how many lines installing the packages prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A folder that becomes ``/``.

    Attributes:
        folder: The folder.
        read_only: Paths of the machine that are mounted over it, read-only.
        identity: Changes when the base changes, as far as that shows without reading all of it.
    """

    folder: Path
    read_only: Sequence[str]
    identity: str


def rootfs_folder() -> Path:
    """Return the folder of the installed root file system, which may not exist."""
    return data_folder() / "intercode" / BaseKind.ROOTFS


def open_base(kind: BaseKind, cache: Path) -> Base:
    """Return the base of this kind; the host's is written to ``cache``.

    Raises:
        DataError: The root file system is not installed, or it belongs to another user.
    """
    if kind is BaseKind.HOST:
        return _host(cache)
    folder = rootfs_folder()
    if not (folder / "bin" / "bash").exists():
        raise DataError(
            f"There is no root file system at {folder}: run leap data install intercode_rootfs, or use env.base=host."
        )
    if os.geteuid() not in (0, folder.stat().st_uid):
        raise DataError(
            f"The root file system at {folder} belongs to another user, and only its owner and root can use it. Set "
            "LEAP_DATA to a folder of your own and install one there: leap data install intercode_rootfs --from "
            "IMAGE.tar."
        )
    return Base(folder=folder, read_only=(), identity=f"{folder} {folder.stat().st_mtime_ns}")


def _host(cache: Path) -> Base:
    """Return a base with the machine's own ``/usr`` and the few other files that programs need."""
    links = {name: str(Path(f"/{name}").readlink()) for name in _TOP if Path(f"/{name}").is_symlink()}
    folders = [name for name in _TOP if name not in links and Path(f"/{name}").is_dir()]
    shared = [f"etc/{name}" for name in _SHARED if Path(f"/etc/{name}").exists()]
    contents = repr((_VERSION, sorted(links.items()), folders, shared, sorted(_ETC.items())))
    folder = cache / f"host-{hashlib.sha256(contents.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        _write_host(folder, links, folders, shared)
    read_only = tuple(f"/{name}" for name in ("usr", *folders, *shared))
    return Base(folder=folder, read_only=read_only, identity=contents)


def _write_host(folder: Path, links: Mapping[str, str], folders: Sequence[str], shared: Sequence[str]) -> None:
    fresh = folder.with_name(f"{folder.name}.{process_name()}.part")
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
        # Mount points for the machine's own files.
        (fresh / name).mkdir() if Path(f"/{name}").is_dir() else (fresh / name).touch()
    try:
        fresh.rename(folder)
    except OSError:
        # Another process was faster, and uses it already.
        shutil.rmtree(fresh)


class RootfsData(Dataset):
    """A root file system with the tools of the original image; made by debootstrap, or from a ``.tar`` of one."""

    description = "a root file system for env.base=rootfs"
    source = "a .tar of a root file system, such as docker export writes"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Return the folder of the root file system, which may not exist."""
        return rootfs_folder()

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Install the root file system and return a description of it.

        Raises:
            DataError: It cannot be made. A previous installation is kept.
        """
        folder = self.folder(size)
        fresh = folder.with_name(f"{folder.name}.{process_name()}.part")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            if source is None:
                _bootstrap(fresh, on_progress)
            else:
                _extract(source, fresh)
            description = _describe(fresh)
            for name, text in _CONFIGURATION.items():
                (fresh / "etc" / name).unlink(missing_ok=True)
                (fresh / "etc" / name).write_text(text)
            _set_times(fresh)
            replace_folder(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return description

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:  # noqa: ARG002 - it is quick
        """Return a description of the installed root file system.

        Raises:
            DataError: It has no bash or no git.
        """
        return _describe(self.folder(size))


def _bootstrap(folder: Path, on_progress: OnProgress) -> None:
    """Install a minimal system in ``folder``, and in there the packages of the original image."""
    if not shutil.which("debootstrap"):
        raise DataError("debootstrap is not installed: install that package, or use --from with a .tar.")
    lines: list[str] = []
    _run(["debootstrap", "--variant=minbase", RELEASE, str(folder)], lines, on_progress)
    for path in sorted(path for pattern in _EXCLUDED for path in folder.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (folder / "etc" / "dpkg" / "dpkg.cfg.d" / "excludes").write_text(_EXCLUDE)
    resolver = Path("/etc/resolv.conf")
    if resolver.exists():
        shutil.copyfile(resolver, folder / "etc" / "resolv.conf")
    policy = folder / "usr" / "sbin" / "policy-rc.d"
    policy.write_text(_NO_SERVICES)
    policy.chmod(0o755)
    _run(["chroot", str(folder), "/bin/sh", "-c", _INSTALL], lines, on_progress)
    policy.unlink()


def _run(command: Sequence[str], lines: list[str], on_progress: OnProgress) -> None:
    """Run ``command`` and append the lines it prints to ``lines``."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line.strip())
            on_progress("installing packages", min(len(lines), _LINES), _LINES)
    if process.returncode != 0:
        raise DataError(
            f"{command[0]} failed ({' '.join(lines[-3:])}). It needs root and a Debian mirror; otherwise use --from "
            "with a .tar."
        )


def _set_times(folder: Path) -> None:
    """Give new files the usual time, so that no file is newer on one day than on another."""
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_mtime > USUAL_TIME:
            os.utime(path, (USUAL_TIME, USUAL_TIME), follow_symlinks=False)


def _extract(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source) as archive:
            # Its programs only run in sandboxes, but unpacking must not write outside the folder.
            archive.extractall(folder, filter="tar")
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{source} is not a .tar of a root file system ({error}).") from error


def _describe(folder: Path) -> Sequence[str]:
    missing = [name for name in ("bash", "git") if not (folder / "usr" / "bin" / name).exists()]
    if missing:
        raise DataError(f"{folder} has no {missing[0]}, so it cannot be used as a root file system.")
    release = folder / "etc" / "os-release"
    named = re.search(r'^PRETTY_NAME="?(.*?)"?$', release.read_text() if release.exists() else "", re.MULTILINE)
    return [f"root file system of {named[1] if named else 'an unnamed release'}"]
