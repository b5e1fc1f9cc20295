"""``python -m leap_exp.data``: install benchmark data from the authors' release or from a file at hand, and verify it.

Data goes to ``LEAP_DATA``, by default ``leap_exp`` in the user's cache folder. An installation appears whole or not at
all: it is unpacked beside its place, checked, and renamed.
"""

import argparse
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from leap_exp.core.errors import DataError, LeapError
from leap_exp.envs.alfworld.official import GAMES_FOLDER, OFFICIAL_COUNTS, data_folder, verify_games

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_HTTP_PARTIAL, _HTTP_BAD_RANGE = 206, 416

_OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Data that can be installed: a zip archive whose ``root`` folder ``verify`` reads and counts, split by split."""

    description: str
    url: str
    root: str
    expected: Mapping[str, int]
    verify: Callable[[Path, _OnProgress], Mapping[str, int]]


DATASETS: Mapping[str, Dataset] = {
    "alfworld": Dataset(
        description="ALFWorld's text games (release 0.4.2; MIT)",
        url="https://github.com/alfworld/alfworld/releases/download/0.4.2/json_2.1.3_tw-pddl.zip",
        root=GAMES_FOLDER,
        expected=OFFICIAL_COUNTS,
        verify=verify_games,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; 0 if it succeeds."""
    parser = argparse.ArgumentParser(prog="python -m leap_exp.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what can be installed and what is")
    for command, text in (("install", "download (or take a file) and install"), ("verify", "read what is installed")):
        subparser = commands.add_parser(command, help=text)
        subparser.add_argument("name", choices=sorted(DATASETS))
        if command == "install":
            subparser.add_argument("--from", dest="archive", type=Path, metavar="FILE", help="an archive at hand")
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            _list()
        elif options.command == "install":
            install(options.name, options.archive)
        else:
            verify(options.name)
    except LeapError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _list() -> None:
    for name, dataset in sorted(DATASETS.items()):
        folder = data_folder() / name
        state = f"installed at {folder}" if folder.is_dir() else "not installed"
        print(f"{name}  {dataset.description}: {state}")


def install(name: str, archive: Path | None) -> None:
    """Install the data set ``name`` from ``archive``, or from its authors' address; replaces what is installed.

    Raises:
        DataError: The archive cannot be had, or is not what it should be. What was installed before is still there.
    """
    dataset, folder = DATASETS[name], data_folder() / name
    fresh = folder.with_name(f"{name}.part")
    source = archive or download(dataset.url, folder.parent)
    try:
        _unpack(source, fresh)
        _report(dataset, fresh)
        _replace(folder, fresh)
    except OSError as error:
        raise DataError(f"{name} could not be installed at {folder}: {error.strerror or error}.") from error
    except DataError:
        if archive is None:
            source.unlink()
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if archive is None:
        source.unlink()
    print(f"Installed {name} at {folder}.")


def verify(name: str) -> None:
    """Read all of the installed data set ``name`` and print what is there.

    Raises:
        DataError: It is not installed, or a part of it cannot be read.
    """
    folder = data_folder() / name
    if not folder.is_dir():
        raise DataError(f"{name} is not installed at {folder}: run python -m leap_exp.data install {name}.")
    _report(DATASETS[name], folder)


def download(url: str, folder: Path) -> Path:
    """Download ``url`` into ``folder`` and return the file; goes on where an earlier download stopped.

    Raises:
        DataError: It cannot be downloaded, or not to its end.
    """
    target = folder / url.rsplit("/", 1)[-1]
    part = target.with_name(f"{target.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _fetch(url, part)
            part.rename(target)
    except HTTPError as error:
        raise DataError(f"{url} answered {error.code} {error.reason}: download it by hand and use --from.") from error
    except (OSError, HTTPException) as error:
        raise DataError(
            f"The download of {url} stopped ({error}): run the command again to go on where it stopped, or use --from."
        ) from error
    return target


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    # The address is one of ours, and always https.
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        response = urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310
    except HTTPError as error:
        if error.code != _HTTP_BAD_RANGE:
            raise
        # Nothing lies beyond what is there, so that it is no part of this file: begin again.
        part.unlink()
        _fetch(url, part)
        return
    with response:
        if response.status != _HTTP_PARTIAL:
            have = 0
        total = have + int(response.headers.get("Content-Length") or 0)
        show = _Progress("downloading", unit=1e6, name="MB")
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                show(have, max(total, have))
    if have < total:
        raise DataError(f"{have} of {total} bytes of {url} arrived: run the command again to go on.")


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack all of ``archive`` to ``folder``; the checksum of every member is checked as it is read."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            show = _Progress("unpacking")
            for done, member in enumerate(members, start=1):
                opened.extract(member, folder)
                show(done, len(members))
    except FileNotFoundError as error:
        raise DataError(f"There is no archive at {archive}.") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"The archive {archive} is broken or incomplete ({error}): download it again.") from error


def _report(dataset: Dataset, folder: Path) -> None:
    """Read everything and print the counts beside the official ones."""
    counts = dataset.verify(folder / dataset.root, _Progress("reading"))
    for split in [*dataset.expected, *sorted(counts.keys() - dataset.expected.keys())]:
        official = f"{dataset.expected[split]:,}" if split in dataset.expected else "none"
        print(f"{split:14}{counts.get(split, 0):6,} readable   official {official}")


def _replace(folder: Path, fresh: Path) -> None:
    """Put ``fresh`` in the place of ``folder``."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


class _Progress:
    """Prints how far a stage is, at most once a second."""

    def __init__(self, stage: str, *, unit: float = 1, name: str = "files") -> None:
        self._stage, self._unit, self._name = stage, unit, name
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            print(f"{self._stage}: {done / self._unit:.0f} of {total / self._unit:.0f} {self._name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
