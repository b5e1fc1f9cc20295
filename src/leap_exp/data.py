"""``python -m leap_exp.data``: install benchmark data from the authors' release or from files at hand, and verify it.

Data goes to ``LEAP_DATA``, by default ``leap_exp`` in the user's cache folder. An installation appears whole or not at
all: it is made beside its place, checked, and renamed. Demonstrations by people become a file for
``demonstrations.source``; a language model adds reasons to one, or finds privileged facts in one.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from leap_exp.core.errors import ConfigError, DataError, LeapError
from leap_exp.enrich import add_arguments, annotate_demonstrations, extract
from leap_exp.envs.alfworld.install import AlfworldData
from leap_exp.envs.installation import OnProgress
from leap_exp.envs.intercode_bash.install import IntercodeData
from leap_exp.envs.intercode_bash.rootfs import RootfsData
from leap_exp.envs.webshop.environment import WebShopEnvironment
from leap_exp.envs.webshop.goals import DEFAULT_PRICE_SEED, GoalKind
from leap_exp.envs.webshop.human_demonstrations import read_human_demonstrations
from leap_exp.envs.webshop.install import WebshopData
from leap_exp.envs.webshop.pages import ObservationMode
from leap_exp.store import write_records

_MILLIONS_FROM = 10_000_000


class Dataset(Protocol):
    """Data that can be installed; ``sizes`` are the choices that there are, the usual one first."""

    description: str
    source: str
    sizes: Sequence[str]

    def folder(self, size: str | None) -> Path:
        """Where it is installed; it need not exist."""

    def install(self, source: Path | None, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Install from ``source``, or from the authors' address; lines on what is there now."""

    def verify(self, size: str | None, on_progress: OnProgress) -> Sequence[str]:
        """Read all that is installed; lines on what is there."""


DATASETS: Mapping[str, Dataset] = {
    "alfworld": AlfworldData(),
    "intercode": IntercodeData(),
    "intercode_rootfs": RootfsData(),
    "webshop": WebshopData(),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; 0 if it succeeds."""
    parser = argparse.ArgumentParser(prog="python -m leap_exp.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what can be installed and what is")
    for command, text in (("install", "download (or take what is at hand) and install"), ("verify", "read it all")):
        subparser = commands.add_parser(command, help=text)
        subparser.add_argument("name", choices=sorted(DATASETS))
        subparser.add_argument("--size", help="; ".join(f"{name}: {', '.join(data.sizes)}" for name, data in _sized()))
        if command == "install":
            sources = "; ".join(f"{name}: {data.source}" for name, data in sorted(DATASETS.items()))
            subparser.add_argument("--from", dest="source", type=Path, metavar="PATH", help=sources)
    _add_import(commands.add_parser("import-demonstrations", help="make a file for demonstrations.source of people's"))
    reasons = commands.add_parser("annotate", help="let a language model give demonstrations the reasons they lack")
    add_arguments(reasons, what="the trajectories with their reasons")
    facts = commands.add_parser("extract-facts", help="let a language model find privileged facts in logs of episodes")
    add_arguments(facts, what="the facts, for privilege.facts,")
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            _list()
        elif options.command == "install":
            install(options.name, options.source, options.size)
        elif options.command == "import-demonstrations":
            _import_demonstrations(options)
        elif options.command == "annotate":
            annotate_demonstrations(options)
        elif options.command == "extract-facts":
            extract(options)
        else:
            verify(options.name, options.size)
    except LeapError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _sized() -> list[tuple[str, Dataset]]:
    return [(name, dataset) for name, dataset in sorted(DATASETS.items()) if dataset.sizes]


def _list() -> None:
    for name, dataset in sorted(DATASETS.items()):
        for size in dataset.sizes or (None,):
            folder = dataset.folder(size)
            state = f"installed at {folder}" if folder.is_dir() else "not installed"
            print(f"{name}{f' --size {size}' if size else ''}  {dataset.description}: {state}")


def install(name: str, source: Path | None, size: str | None = None) -> None:
    """Install the data set ``name`` from ``source``, or from its authors' address; replaces what is installed.

    Raises:
        ConfigError: There is no such size.
        DataError: The data cannot be had, or is not what it should be. What was installed before is still there.
    """
    dataset = _checked(name, size)
    for line in dataset.install(source, size, _Progress()):
        print(line)
    print(f"Installed {name}.")


def verify(name: str, size: str | None = None) -> None:
    """Read all of the installed data set ``name`` and print what is there.

    Raises:
        ConfigError: There is no such size.
        DataError: It is not installed, or a part of it cannot be read.
    """
    dataset = _checked(name, size)
    folder = dataset.folder(size)
    if not folder.is_dir():
        raise DataError(f"{name} is not installed at {folder}: run python -m leap_exp.data install {name}.")
    for line in dataset.verify(size, _Progress()):
        print(line)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=["webshop"])
    parser.add_argument("file", type=Path, help="the authors' il_trajs_finalized_images.jsonl, or the .zip of it")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="where the trajectories go")
    parser.add_argument("--split", default="train", help="whose goals to take, default train")
    parser.add_argument("--catalogue", default="all", help="as env.catalogue, default all")
    parser.add_argument("--observation", choices=[*ObservationMode], default=ObservationMode.TEXT)
    parser.add_argument("--ids", action="store_true", help="click results by id, as with env.item_names=false")
    parser.add_argument("--price-seed", type=int, default=DEFAULT_PRICE_SEED, help="as env.price_seed")


def _import_demonstrations(options: argparse.Namespace) -> None:
    environment = WebShopEnvironment(
        catalogue=options.catalogue,
        goals=GoalKind.HUMAN,
        observation=options.observation,
        item_names=not options.ids,
        price_seed=options.price_seed,
    )
    found = read_human_demonstrations(options.file, environment, split=options.split)
    for reason, count in sorted(found.dropped.items()):
        print(f"{count:6,} dropped, {reason}")
    if not found.trajectories:
        raise DataError(f"{options.file} has no demonstration for the {options.split} goals of {options.catalogue}.")
    write_records(options.to, found.trajectories, {})
    full = sum(trajectory.succeeded for trajectory in found.trajectories)
    print(f"{len(found.trajectories):6,} taken, {full:,} of them with the full reward: {options.to}")


def _checked(name: str, size: str | None) -> Dataset:
    dataset = DATASETS[name]
    if size and size not in dataset.sizes:
        raise ConfigError(f"{name} has no size {size!r}: choose one of {', '.join(dataset.sizes) or 'none'}.")
    return dataset


class _Progress:
    """Prints how far a stage is, at most once a second."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            unit, name = (1e6, " million") if total >= _MILLIONS_FROM else (1, "")
            print(f"{stage}: {done / unit:.0f} of {total / unit:.0f}{name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
