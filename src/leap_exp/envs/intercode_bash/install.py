"""Installs InterCode-Bash's requests and file systems from the authors' repository, and reads what is installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.installation import OnProgress, data_folder, download, replace_folder
from leap_exp.envs.intercode_bash.bases import HOST
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.official import SETS, official_folder, read_official, requests_file, tree_file
from leap_exp.envs.intercode_bash.sandbox import Limits
from leap_exp.envs.intercode_bash.setup_scripts import run_setup
from leap_exp.envs.intercode_bash.trees import list_tree

COMMIT = "c3e46d827cfc9d4c704ec078f7abf9f41e3191d8"
_URL = f"https://raw.githubusercontent.com/princeton-nlp/intercode/{COMMIT}/"
_LICENCE = "LICENSE.md"
_REQUESTS_FOLDER, _SCRIPTS_FOLDER = "data/nl2bash/", "docker/bash_scripts/"
_SHA256 = {
    _LICENCE: "837bf0fc3fe75298e6bcca9dbb66028b449bc456e16621d7a0f65292fa037274",
    "data/nl2bash/nl2bash_fs_1.json": "60f88e1aacc7ebba535093f9890c5c33203f4e5f32958e0e94fbe90ec4f01c82",
    "data/nl2bash/nl2bash_fs_2.json": "8f4ce24e535fab782fda607e37db2ae1d6c5f99993c638d1ac0a7e0b542f633e",
    "data/nl2bash/nl2bash_fs_3.json": "a2d4ec8bc7ad69a4e2fb3eb84033994cf65ee9cfb355e3e63099df67a339b2e1",
    "data/nl2bash/nl2bash_fs_4.json": "ce41b89450f87765a02a51df259ca0c1762e8249185c022adb089147e2c16200",
    "docker/bash_scripts/setup_nl2b_fs_1.sh": "02b9a2206d809a9fca03b755e61b94618248a400fd3132ac61d32b6f3009dd3f",
    "docker/bash_scripts/setup_nl2b_fs_2.sh": "05c3109c4e9999e661d66c6d74137f0238b88017ec9cf884abdda0499e94ff1d",
    "docker/bash_scripts/setup_nl2b_fs_3.sh": "5e8d9f832f272c31dfb73567e75d33efb970d4e4bf9a8e691582d4fa09422d09",
    "docker/bash_scripts/setup_nl2b_fs_4.sh": "c5fb550aa1578fe2454e8ab06221165df90311231cb71d3d9b0ce036a8235274",
}
"""The files of the authors' repository that are needed."""

_OFFICIAL_COUNTS = {1: 60, 2: 53, 3: 60, 4: 27}
_SCRIPT_SECONDS = 60.0
_SCRIPT_OUTPUT_BYTES = 1 << 27
"""What a script has made must fit in as well."""


class IntercodeData:
    """The authors' 200 requests and the four file systems that they are about."""

    description = "InterCode-Bash's requests and file systems (MIT)"
    source = "a checkout of the authors' repository, a .zip of it, or a folder of nl2bash_fs_N.json and fs_N.json"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Where they are installed; it need not exist."""
        return official_folder()

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Build the file systems and install them with the requests; says what is there now.

        Raises:
            DataError: A file cannot be had or is broken, or a file system cannot be built. What was installed before is
                still there.
            EnvError: There is no sandbox to build them in.
        """
        folder = self.folder(size)
        arriving = data_folder() / "intercode.download"
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        with _refusals_of(folder):
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                fresh.mkdir(parents=True)
                if source is not None and (source / requests_file(SETS[0])).is_file():
                    _copy(source, fresh)
                else:
                    files = _download(arriving, on_progress) if source is None else _read_repository(source)
                    _build(files, fresh, on_progress)
                report = _report(fresh)
                replace_folder(folder, fresh)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(arriving, ignore_errors=True)
        return report

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:  # noqa: ARG002 - it is quick
        """Read every request and file system and say how many there are.

        Raises:
            DataError: One is missing or cannot be read.
        """
        return _report(self.folder(size))


@contextmanager
def _refusals_of(folder: Path) -> Iterator[None]:
    """Turn an operating system's refusal into one clear error."""
    try:
        yield
    except OSError as error:
        raise DataError(f"InterCode-Bash could not be installed at {folder}: {error.strerror or error}.") from error


def _download(arriving: Path, on_progress: OnProgress) -> Mapping[str, bytes]:
    """The files of ``_SHA256``, by their paths in the repository, as they were published."""
    files = {}
    for name, expected in _SHA256.items():
        arrived = arriving / Path(name).name
        download(_URL + name, arrived, on_progress)
        files[name] = arrived.read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != expected:
            arrived.unlink()
            raise DataError(f"{_URL}{name} is not the file that was published: run the command again, or use --from.")
    return files


def _read_repository(source: Path) -> Mapping[str, bytes]:
    """The same files of a checkout, or of an archive in which the repository is the only folder, as GitHub makes it."""
    if source.is_dir():
        return {name: _read_file(source, name) for name in _SHA256}
    try:
        with zipfile.ZipFile(source) as archive:
            return {name: _read_member(archive, name) for name in _SHA256}
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{source} is neither a folder nor a .zip of the authors' repository ({error}).") from error


def _read_file(checkout: Path, name: str) -> bytes:
    path = checkout / name
    if not path.is_file():
        raise DataError(
            f"{path} is missing: {checkout} is neither a checkout of the authors' repository nor a folder with "
            f"{requests_file(SETS[0])} and the others."
        )
    return path.read_bytes()


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    found = [member for member in archive.namelist() if member.partition("/")[2] == name]
    if not found:
        raise DataError(f"{archive.filename} has no {name}: it is no archive of the authors' repository.")
    return archive.read(found[0])


def _build(files: Mapping[str, bytes], folder: Path, on_progress: OnProgress) -> None:
    """Write requests, and the file systems that the set-up scripts make, to ``folder``."""
    limits = Limits(seconds=_SCRIPT_SECONDS, output_bytes=_SCRIPT_OUTPUT_BYTES)
    engine = BubblewrapEngine(base=HOST, limits=limits)
    for number in SETS:
        on_progress("building file systems", number - 1, len(SETS))
        script = f"setup_nl2b_fs_{number}.sh"
        tree = run_setup(engine, f"fs_{number}", script, files[_SCRIPTS_FOLDER + script])
        (folder / tree_file(number)).write_text(list_tree(tree), encoding="utf-8")
        (folder / requests_file(number)).write_bytes(files[_REQUESTS_FOLDER + requests_file(number)])
    (folder / _LICENCE).write_bytes(files[_LICENCE])


def _copy(source: Path, folder: Path) -> None:
    """Copy what ``source`` has of requests and file systems that are built already."""
    for name in (*map(requests_file, SETS), *map(tree_file, SETS), _LICENCE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _report(folder: Path) -> Sequence[str]:
    """Read everything and put the counts beside the official ones."""
    # Nothing is read or changed in the fourth: its script makes nothing.
    if missing := [tree_file(number) for number in SETS[:-1] if not (folder / tree_file(number)).is_file()]:
        raise DataError(f"{folder} has no {missing[0]}, the file system of some of its requests.")
    collection = read_official(folder)
    counts = {number: sum(request.tree == f"fs_{number}" for request in collection.requests) for number in SETS}
    return [
        f"fs_{number}  {counts[number]:3} requests   official {_OFFICIAL_COUNTS[number]:3}   "
        f"{len(collection.trees[f'fs_{number}'].entries):3} files and folders"
        for number in SETS
    ]
