"""Installs the authors' queries and file systems from their repository.

The file systems are made by running the authors' set-up scripts in sandboxes.
"""

import hashlib
import io
import os
import shutil
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import Dataset, OnProgress, data_folder, download, replace_folder
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.queries import (
    ALFA_SETS,
    SETS,
    alfa_folder,
    official_folder,
    queries_file,
    read_official,
    setup_script,
    tree_file,
)
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, Resource, Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.engine.shell import SHELL
from leap_exp.envs.intercode_bash.engine.trees import RECORDED, Entry, FileTree, tree_to_json
from leap_exp.runs import process_name

COMMIT = "c3e46d827cfc9d4c704ec078f7abf9f41e3191d8"
_URL = f"https://raw.githubusercontent.com/princeton-nlp/intercode/{COMMIT}/"
_LICENCE = "LICENSE.md"
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
"""The files that are needed from the authors' repository."""

_OFFICIAL_COUNTS = {1: 60, 2: 53, 3: 60, 4: 27}
_ALFA_COUNTS = {1: 153, 2: 49, 3: 57, 4: 23, 5: 18}
_SCRIPT_SECONDS = 60.0
_OUTPUT_BYTES = 1 << 27
"""The files that a script makes are read as the output of a command, too."""
_QUOTED_CHARACTERS = 300
"""How much output of a failed program an error message quotes."""


class AlfaData(Dataset):
    """The 300 corrected queries of NL2SH-ALFA, with two gold commands each, and their five file systems."""

    description = "InterCode-Bash's queries as corrected in NL2SH-ALFA, with their file systems (MIT)"
    source = "a checkout of the repository InterCode-ALFA, or the wheel of its package icalfa (pip download icalfa)"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Return the folder of the installed data, which may not exist."""
        return alfa_folder()

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Make the file systems, install them with the queries, and return a description.

        Raises:
            DataError: No source is given, or a file is missing or broken. A previous installation is kept.
            EnvError: bubblewrap does not work on this machine.
        """
        if source is None:
            raise DataError(
                "The corrected queries are not downloaded: run pip download --no-deps icalfa, and use --from."
            )
        return _install_fresh(
            self.folder(size), lambda fresh: _build(_read_alfa(source), fresh, on_progress), _count_sets
        )

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:  # noqa: ARG002 - it is quick
        """Read all queries and file systems, and return a description.

        Raises:
            DataError: A file is missing or cannot be read.
        """
        return _count_sets(self.folder(size))


class IntercodeData(Dataset):
    """The authors' 200 queries and the four file systems that they are about."""

    description = "InterCode-Bash's queries and file systems (MIT)"
    source = "a checkout of the authors' repository, a .zip of it, or a folder of nl2bash_fs_N.json and fs_N.json"
    sizes: Sequence[str] = ()

    def folder(self, size: str | None) -> Path:  # noqa: ARG002 - there is one size
        """Return the folder of the installed data, which may not exist."""
        return official_folder()

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Make the file systems, install them with the queries, and return a description.

        Raises:
            DataError: A file is missing or broken, or a file system cannot be made. A previous installation is kept.
            EnvError: bubblewrap does not work on this machine.
        """
        arriving = data_folder() / "intercode.download"

        def fill(fresh: Path) -> None:
            if source is not None and (source / queries_file(SETS[0])).is_file():
                _copy(source, fresh)
            else:
                files = _download(arriving, on_progress) if source is None else _read_repository(source)
                _build(files, fresh, on_progress)

        description = _install_fresh(self.folder(size), fill, _describe)
        shutil.rmtree(arriving, ignore_errors=True)
        return description

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:  # noqa: ARG002 - it is quick
        """Read all queries and file systems, and return a description.

        Raises:
            DataError: A file is missing or cannot be read.
        """
        return _describe(self.folder(size))


def _install_fresh(
    folder: Path, fill: Callable[[Path], None], describe: Callable[[Path], Sequence[str]]
) -> Sequence[str]:
    """Replace ``folder`` by a new one that ``fill`` has filled, and return its description."""
    fresh = folder.with_name(f"{folder.name}.{process_name()}.part")
    with _os_errors_named(folder):
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            fill(fresh)
            description = describe(fresh)
            replace_folder(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return description


def _read_alfa(source: Path) -> Mapping[str, bytes]:
    """Return the queries and set-up scripts of NL2SH-ALFA in a folder or a .whl, by their names."""
    names = [*map(queries_file, ALFA_SETS), *map(setup_script, ALFA_SETS)]
    files: dict[str, bytes] = {}
    try:
        if source.is_dir():
            files = {path.name: path.read_bytes() for path in sorted(source.rglob("*nl2b*")) if path.name in names}
        else:
            with zipfile.ZipFile(source) as archive:
                found = {name.rpartition("/")[2]: name for name in archive.namelist()}
                files = {name: archive.read(found[name]) for name in names if name in found}
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{source} is not a folder or wheel with the corrected queries ({error}).") from error
    if missing := [name for name in names if name not in files]:
        raise DataError(f"{source} has no {missing[0]}: give {AlfaData.source}.")
    return files


def _count_sets(folder: Path) -> Sequence[str]:
    """Read the corrected queries and return the counts beside the published ones."""
    collection = read_official(folder)
    counts = Counter(query.tree for query in collection.queries)
    return [
        f"{name}  {counts[name]:3} queries   published {_ALFA_COUNTS[number]:3}   "
        f"{len(tree.entries):3} files and folders"
        for number, (name, tree) in enumerate(collection.trees.items(), start=1)
    ]


@contextmanager
def _os_errors_named(folder: Path) -> Iterator[None]:
    """Turn an OSError into a DataError that names ``folder``."""
    try:
        yield
    except OSError as error:
        raise DataError(f"InterCode-Bash cannot be installed at {folder}: {error.strerror or error}.") from error


def _download(arriving: Path, on_progress: OnProgress) -> Mapping[str, bytes]:
    """Return the files of ``_SHA256`` by their names."""
    files = {}
    for name, expected in _SHA256.items():
        arrived = arriving / Path(name).name
        download(_URL + name, arrived, on_progress)
        files[arrived.name] = arrived.read_bytes()
        if hashlib.sha256(files[arrived.name]).hexdigest() != expected:
            arrived.unlink()
            raise DataError(f"{_URL}{name} differs from the published file: run the command again, or use --from.")
    return files


def _read_repository(source: Path) -> Mapping[str, bytes]:
    """Return the same files from a checkout, or from a .zip with one top folder, as GitHub makes it."""
    if source.is_dir():
        return {Path(name).name: _read_file(source, name) for name in _SHA256}
    try:
        with zipfile.ZipFile(source) as archive:
            return {Path(name).name: _read_member(archive, name) for name in _SHA256}
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{source} is not a folder or .zip of the authors' repository ({error}).") from error


def _read_file(checkout: Path, name: str) -> bytes:
    path = checkout / name
    if not path.is_file():
        raise DataError(
            f"{path} is missing: {checkout} must be a checkout of the authors' repository or a folder with "
            f"{queries_file(SETS[0])} and so on."
        )
    return path.read_bytes()


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    found = [member for member in archive.namelist() if member.partition("/")[2] == name]
    if not found:
        raise DataError(f"{archive.filename} has no {name}, so it is not a .zip of the authors' repository.")
    return archive.read(found[0])


def _build(files: Mapping[str, bytes], folder: Path, on_progress: OnProgress) -> None:
    """Write the queries, and the file systems that the set-up scripts make, to ``folder``."""
    limits = Limits(seconds=_SCRIPT_SECONDS, output_bytes=_OUTPUT_BYTES)
    engine = BubblewrapEngine(base=BaseKind.HOST, limits=limits)
    sets = [number for number in ALFA_SETS if queries_file(number) in files]
    for number in sets:
        on_progress("building file systems", number - 1, len(sets))
        script = setup_script(number)
        tree = _run_setup(engine, f"fs_{number}", script, files[script])
        (folder / tree_file(number)).write_text(tree_to_json(tree), encoding="utf-8")
        (folder / queries_file(number)).write_bytes(files[queries_file(number)])
    if _LICENCE in files:
        (folder / _LICENCE).write_bytes(files[_LICENCE])


def _copy(source: Path, folder: Path) -> None:
    """Copy the queries and finished file systems that ``source`` has."""
    for name in (*map(queries_file, SETS), *map(tree_file, SETS), _LICENCE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _describe(folder: Path) -> Sequence[str]:
    """Read everything and return the counts beside the official ones."""
    # The last file system may be missing: its script makes no files.
    if missing := [tree_file(number) for number in SETS[:-1] if not (folder / tree_file(number)).is_file()]:
        raise DataError(f"{folder} has no {missing[0]}, the file system of some of its queries.")
    collection = read_official(folder)
    counts = {number: sum(query.tree == f"fs_{number}" for query in collection.queries) for number in SETS}
    return [
        f"fs_{number}  {counts[number]:3} queries   official {_OFFICIAL_COUNTS[number]:3}   "
        f"{len(collection.trees[f'fs_{number}'].entries):3} files and folders"
        for number in SETS
    ]


def _run_setup(engine: SandboxEngine, name: str, script_name: str, script: bytes) -> FileTree:
    """Return the tree that ``script`` makes in a sandbox, with the script itself in ``/``, as in the original image.

    Raises:
        DataError: The script failed, did not end, or made something that is not a file or directory.
        EnvError: The sandbox failed.
    """
    itself = Entry(path=f"/{script_name}", mode=0o755, content=script, changed=RECORDED)
    with engine.open(FileTree(name=name, entries=(itself,))) as sandbox:
        before = _names(sandbox)
        started = int(time.time())
        _run(sandbox, [SHELL, itself.path], f"The set-up script {script_name}")
        entries = [itself, *_read_back(sandbox, sorted(_names(sandbox) - before), started)]
    return FileTree(name=name, entries=tuple(sorted(entries, key=lambda entry: entry.path)), made=RECORDED)


def _run(sandbox: Sandbox, command: Sequence[str], what: str) -> bytes:
    """Return the output of ``command``; error messages call it ``what``."""
    result = sandbox.run(command, workdir="/")
    if result.exit_code == 0:
        return result.output
    output = result.output.decode(errors="replace").strip()[-_QUOTED_CHARACTERS:] or "nothing"
    if result.exceeded is Resource.TIME:
        raise DataError(f"{what} did not end. It printed: {output}")
    failure = f"exceeded the limit of {result.exceeded}" if result.exceeded else f"failed ({result.exit_code})"
    raise DataError(f"{what} {failure}. It printed: {output}")


def _names(sandbox: Sandbox) -> set[str]:
    """Return the names in ``/``."""
    return set(os.fsdecode(_run(sandbox, ["ls", "-A", "/"], "ls")).splitlines())


def _read_back(sandbox: Sandbox, names: Sequence[str], started: int) -> Iterator[Entry]:
    """Read the files that are new in ``/``; a time before ``started`` was set by the script on purpose."""
    if not names:
        return
    packed = _run(sandbox, ["tar", "--create", "--file=-", *(f"./{name}" for name in names)], "tar")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            path = member.name.removeprefix(".")
            if not (member.isdir() or member.isreg() or member.islnk()):
                raise DataError(f"A set-up script made {path}, which is not a file or directory.")
            file = archive.extractfile(member)
            yield Entry(
                path=path,
                mode=member.mode,
                content=file.read() if file else None,
                changed=float(member.mtime) if member.mtime < started else RECORDED,
            )
