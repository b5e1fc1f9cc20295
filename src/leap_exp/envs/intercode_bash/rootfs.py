"""Installs a root file system with the tools of the original image, for sandboxes that do not use the machine's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.installation import OnProgress, replace_folder
from leap_exp.envs.intercode_bash.bases import rootfs_folder

RELEASE = "bullseye"
"""Of Debian's releases the one whose tools are nearest to those of the original's image, an Ubuntu 22.04."""

PACKAGES = (
    *("bash", "bsdmainutils", "coreutils", "cpio", "cron", "curl", "dnsutils", "git", "imagemagick", "iputils-ping"),
    *("jq", "net-tools", "netbase", "procps", "psmisc", "python3", "tree"),
)
"""What the original's image installs, and what Ubuntu's own image has beside it."""

_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tsandbox\n"
_STEPS = 600
"""About how many lines debootstrap prints for these packages."""


class RootfsData:
    """The root file system; from a ``.tar`` of one (``docker export``), or by debootstrap."""

    description = "a root file system for env.base=rootfs"
    source = "a .tar of a root file system, such as docker export writes"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Where it is installed; it need not exist."""
        return rootfs_folder()

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Make the root file system beside its place and move it there; says what it has.

        Raises:
            DataError: It cannot be made. What was installed before is still there.
        """
        folder = self.folder(size)
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            if source is None:
                _bootstrap(fresh, on_progress)
            else:
                _extract(source, fresh)
            (fresh / "etc" / "hosts").write_text(_HOSTS)
            (fresh / "etc" / "hostname").write_text("sandbox\n")
            report = _report(fresh)
            replace_folder(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return report

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:  # noqa: ARG002 - it is quick
        """Say what the root file system has.

        Raises:
            DataError: It has no shell or no git.
        """
        return _report(self.folder(size))


def _bootstrap(folder: Path, on_progress: OnProgress) -> None:
    if not shutil.which("debootstrap"):
        raise DataError("debootstrap is not installed: install the package, or give a .tar with --from.")
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, str(folder)]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line.strip())
            on_progress("installing packages", min(len(lines), _STEPS), _STEPS)
    if process.returncode != 0:
        said = " ".join(lines[-3:])
        raise DataError(f"debootstrap failed ({said}): it needs root and a Debian mirror; or give a .tar with --from.")
    shutil.rmtree(folder / "var" / "cache" / "apt" / "archives", ignore_errors=True)


def _extract(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source) as archive:
            # What it holds is run in a sandbox only, but it must not leave its folder while it is unpacked.
            archive.extractall(folder, filter="tar")
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{source} is no .tar of a root file system ({error}).") from error


def _report(folder: Path) -> Sequence[str]:
    missing = [name for name in ("bash", "git") if not (folder / "usr" / "bin" / name).exists()]
    if missing:
        raise DataError(f"{folder} has no {missing[0]}: it cannot serve as a root file system.")
    release = folder / "etc" / "os-release"
    named = re.search(r'^PRETTY_NAME="?(.*?)"?$', release.read_text() if release.exists() else "", re.MULTILINE)
    return [f"root file system of {named[1] if named else 'an unnamed release'}"]
