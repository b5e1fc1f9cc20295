"""The authors' requests and file trees, as they lie in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.installation import data_folder
from leap_exp.envs.intercode_bash.requests import Collection, Request
from leap_exp.envs.intercode_bash.trees import FileTree, read_tree

SETS = (1, 2, 3, 4)
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
        number: read_tree(folder / tree_file(number))
        if (folder / tree_file(number)).is_file()
        else FileTree(name=f"fs_{number}", entries=())
        for number in SETS
    }
    requests = [request for number in SETS for request in _read(folder / requests_file(number), number, trees[number])]
    return Collection(requests, {tree.name: tree for tree in trees.values()})


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
