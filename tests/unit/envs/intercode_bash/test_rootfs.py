"""Installing a root file system from an archive. Making one with debootstrap needs a network."""

import io
import tarfile

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import ignore_progress
from leap_exp.envs.intercode_bash.engine.bases import RootfsData
from leap_exp.envs.intercode_bash.engine.trees import USUAL_TIME


def archive(path, *names):
    with tarfile.open(path, "w") as made:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.mtime = USUAL_TIME + 86_400 if name.startswith("var") else 1_600_000_000
            made.addfile(entry, io.BytesIO())
    return path


@pytest.fixture
def rootfs(monkeypatch, tmp_path):
    """The data set, not installed."""
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))
    return RootfsData()


def test_an_installation_does_not_depend_on_the_day_or_the_machine(rootfs, tmp_path):
    source = archive(tmp_path / "image.tar", "usr/bin/bash", "usr/bin/git", "etc/resolv.conf", "var/log/apt.log")
    assert rootfs.install(source, None, ignore_progress) == ["root file system of an unnamed release"]
    folder = rootfs.folder(None)
    assert (folder / "var/log/apt.log").stat().st_mtime == USUAL_TIME
    assert (folder / "etc/hosts").stat().st_mtime == USUAL_TIME
    assert (folder / "usr/bin/git").stat().st_mtime == 1_600_000_000
    assert (folder / "etc/resolv.conf").read_text() == ""
    assert "hosts: files" in (folder / "etc/nsswitch.conf").read_text()


def test_an_archive_without_git_is_refused_and_the_old_installation_kept(rootfs, tmp_path):
    rootfs.install(archive(tmp_path / "good.tar", "usr/bin/bash", "usr/bin/git", "etc/passwd"), None, ignore_progress)
    with pytest.raises(DataError, match="has no git"):
        rootfs.install(archive(tmp_path / "bad.tar", "usr/bin/bash", "etc/passwd"), None, ignore_progress)
    assert (rootfs.folder(None) / "usr/bin/git").exists()
