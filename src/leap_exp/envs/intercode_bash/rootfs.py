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
from leap_exp.envs.intercode_bash.trees import USUAL_TIME

RELEASE = "bullseye"
"""Of Debian's releases the one whose tools are nearest to those of the original's image, an Ubuntu 22.04."""

PACKAGES = (
    *("bash", "bsdmainutils", "coreutils", "cpio", "curl", "dnsutils", "git", "imagemagick", "iputils-ping"),
    *("jq", "net-tools", "procps", "psmisc", "python3", "tree"),
)
"""What the original's image installs, with what that recommends, and what Ubuntu's own image has beside it."""

# Ubuntu's own image has no documentation.
_EXCLUDED = (
    *("usr/share/doc/*", "usr/share/groff/*", "usr/share/info/*", "usr/share/linda/*", "usr/share/lintian/*"),
    *("usr/share/man/*", "usr/share/locale/*/LC_MESSAGES/*.mo"),
)
_EXCLUDE = "".join(f"path-exclude=/{pattern}\n" for pattern in _EXCLUDED) + "path-include=/usr/share/doc/*/copyright\n"
_APT = "DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y"
# Debian's cron recommends a mail server, Ubuntu's does not.
_INSTALL = (
    f"{_APT} update && {_APT} install --no-install-recommends cron && {_APT} install {' '.join(PACKAGES)} && "
    f"{_APT} clean && rm -rf /var/lib/apt/lists/*"
)
_NO_SERVICES = "#!/bin/sh\nexit 101\n"

_CONFIGURATION = {
    "hostname": "sandbox\n",
    "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tsandbox\n",
    # There is no network: names are unknown at once, and nothing tells of the network that it was installed from.
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    "resolv.conf": "",
}
_STEPS = 1300
"""About how many lines installing these packages prints."""


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
            report = _report(fresh)
            for name, text in _CONFIGURATION.items():
                (fresh / "etc" / name).unlink(missing_ok=True)
                (fresh / "etc" / name).write_text(text)
            _set_times(fresh)
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
    """Make ``folder`` a minimal system, and install the packages in there as the original's image did."""
    if not shutil.which("debootstrap"):
        raise DataError("debootstrap is not installed: install the package, or give a .tar with --from.")
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
    """Run ``command``, adding to ``lines`` what it prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line.strip())
            on_progress("installing packages", min(len(lines), _STEPS), _STEPS)
    if process.returncode != 0:
        said = " ".join(lines[-3:])
        raise DataError(f"{command[0]} failed ({said}): it needs root and a Debian mirror; or give a .tar with --from.")


def _set_times(folder: Path) -> None:
    """Give what changed while it was installed the usual time: what is recent is so every day."""
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_mtime > USUAL_TIME:
            os.utime(path, (USUAL_TIME, USUAL_TIME), follow_symlinks=False)


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
