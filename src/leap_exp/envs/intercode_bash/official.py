"""The authors' requests and file trees, as they lie in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.installation import data_folder
from leap_exp.envs.intercode_bash.requests import Collection, Request
from leap_exp.envs.intercode_bash.trees import RECORDED, Entry, FileTree, read_tree

SETS = (1, 2, 3, 4)
_AGES = {1: 10.0}
"""How many days old the image of a set was when its runs were logged; those of the others were built within the hour.

Of set 1 the logs tell that it was more than 7 days; its one file from 31 May, that it was not yet 7 June.
"""
_TRAINING_SETS = (1, 2)
"""File systems 1 and 2 are for training, 3 and 4 for testing, as in Choudhury & Sodhi 2025."""


def official_folder() -> Path:
    """Where the authors' requests and file trees are installed; it need not exist."""
    return data_folder() / "intercode" / "tasks"


def requests_file(number: int) -> str:
    """The name of the file with the requests of a set."""
    return f"nl2bash_fs_{number}.json"


def tree_file(number: int) -> str:
    """The name of the file with the file system of a set; one without a file has nothing of its own."""
    return f"fs_{number}.json"


def read_official(folder: Path) -> Collection:
    """The 200 requests and their trees in ``folder``.

    Raises:
        DataError: There are none, or a file cannot be read.
    """
    if not (folder / requests_file(SETS[0])).is_file():
        raise DataError(
            f"There are no requests of InterCode-Bash in {folder} ({requests_file(SETS[0])} and the others): run "
            "python -m leap_exp.data install intercode, or give a folder that has them."
        )
    trees = {
        number: read_tree(folder / tree_file(number), age_days=_AGES.get(number, 0.0))
        if (folder / tree_file(number)).is_file()
        else FileTree(name=f"fs_{number}", entries=(), made=RECORDED)
        for number in SETS
    }
    trees = {number: _as_built(tree, number) for number, tree in trees.items()}
    requests = [request for number in SETS for request in _read(folder / requests_file(number), number, trees[number])]
    return Collection(requests, {tree.name: tree for tree in trees.values()})


def _as_built(tree: FileTree, number: int) -> FileTree:
    """``tree`` with what the image of a set has from its building: variables, and the script that made the tree.

    Dumps leave the script out; then a script that does nothing stands in its place.
    """
    script = f"setup_nl2b_fs_{number}.sh"
    entries = tree.entries
    if not any(entry.path == f"/{script}" for entry in entries):
        entries = (*entries, Entry(path=f"/{script}", mode=0o755, content=b"#!/bin/bash\n", changed=RECORDED))
    return replace(tree, entries=entries, variables=(("file_system_version", str(number)), ("script", script)))


def _read(path: Path, number: int, tree: FileTree) -> Iterator[Request]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(str(entry["query"]), str(entry["gold"])) for entry in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not list queries and gold commands ({error!r}).") from error
    for index, (query, gold) in enumerate(pairs):
        yield Request(
            id=f"{tree.name}/{index}",
            split="train" if number in _TRAINING_SETS else "test",
            kind=tree.name,
            query=query,
            gold=gold,
            tree=tree.name,
        )
