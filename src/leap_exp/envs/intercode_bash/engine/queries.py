"""Queries: a task in words, its gold command and its file tree; and reading the authors' queries from a folder."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import data_folder
from leap_exp.envs.intercode_bash.engine.trees import RECORDED, Entry, FileTree, read_tree

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")

SETS = (1, 2, 3, 4)
"""Numbers of the authors' sets of queries. Each set has a file system of its own."""
ALFA_SETS = (*SETS, 5)
"""Numbers of the sets of the corrected queries, NL2SH-ALFA; a folder with the last of them holds these."""
_ALFA_VARIABLES = {1: (("FILES", "/testbed/hello.c /testbed/FooBar.html"),)}
"""Environment variables that an image of the corrected queries sets."""
_TRAINING_SETS = (1, 2)
"""File systems 1 and 2 are for training, the others for testing, as in Choudhury & Sodhi 2025."""
_AGES = {1: 10.0}
"""Age in days of a set's image when its runs were logged; the other images were built within the hour.

The logs show that the image of set 1 was more than 7 days old and, by its one file of 31 May, that 7 June had not come.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query.

    Attributes:
        id: Unique in its collection.
        split: "train" or "test".
        kind: The group of the query in results.
        text: What to do, in words.
        gold: A command that does it.
        tree: Name of the file tree that the query is about.
        other_gold: Another command that does it, in another way; empty if none is known.
    """

    id: str
    split: str
    kind: str
    text: str
    gold: str
    tree: str
    other_gold: str = ""

    @property
    def golds(self) -> tuple[str, ...]:
        """The different commands that do it."""
        return tuple(dict.fromkeys(gold for gold in (self.gold, self.other_gold) if gold))

    def __post_init__(self) -> None:
        """Check the texts and the split; raises DataError."""
        if not self.text.strip() or not self.gold.strip():
            raise DataError(f"The query {self.id!r} must have a text and a gold command.")
        if self.split not in SPLITS:
            raise DataError(f"The query {self.id!r} has the split {self.split!r}; it must be {' or '.join(SPLITS)}.")


@dataclass(frozen=True, slots=True)
class Collection:
    """Queries, and their file trees by name."""

    queries: Sequence[Query]
    trees: Mapping[str, FileTree]


def official_folder() -> Path:
    """Return the folder for the authors' queries and file trees, which may not exist."""
    return data_folder() / "intercode" / "tasks"


def alfa_folder() -> Path:
    """Return the folder for the corrected queries and their file trees, which may not exist."""
    return data_folder() / "intercode" / "alfa"


def queries_file(number: int) -> str:
    """Return the name of the file with a set's queries."""
    return f"nl2bash_fs_{number}.json"


def tree_file(number: int) -> str:
    """Return the name of the file with a set's file tree. If there is none, the tree is empty."""
    return f"fs_{number}.json"


def setup_script(number: int) -> str:
    """Return the name of the script that makes a set's file tree."""
    return f"setup_nl2b_fs_{number}.sh"


def read_official(folder: Path) -> Collection:
    """Read the authors' 200 queries or the 300 corrected ones, and their file trees.

    Raises:
        DataError: A file is missing or cannot be read.
    """
    if not (folder / queries_file(SETS[0])).is_file():
        raise DataError(
            f"There are no InterCode-Bash queries in {folder} ({queries_file(SETS[0])} and so on): run leap data "
            "install intercode, or give another folder."
        )
    is_alfa = (folder / queries_file(ALFA_SETS[-1])).is_file()
    sets = ALFA_SETS if is_alfa else SETS
    trees = {number: (_read_alfa_tree if is_alfa else read_set_tree)(folder, number) for number in sets}
    queries = [query for number in sets for query in _read(folder / queries_file(number), number, trees[number])]
    return Collection(queries, {tree.name: tree for tree in trees.values()})


def read_set_tree(folder: Path, number: int) -> FileTree:
    """Read a set's tree, with the variables and the script that the set's image has.

    Dumps of the file system lack the script; an empty script takes its place.

    Raises:
        DataError: There is a file, but it cannot be read.
    """
    path, script = folder / tree_file(number), setup_script(number)
    tree = read_tree(path, age_days=_AGES.get(number, 0.0)) if path.is_file() else None
    entries = tree.entries if tree else ()
    if not any(entry.path == f"/{script}" for entry in entries):
        entries = (*entries, Entry(path=f"/{script}", mode=0o755, content=b"#!/bin/bash\n", changed=RECORDED))
    variables = (("file_system_version", str(number)), ("script", script))
    return FileTree(name=f"fs_{number}", entries=entries, made=RECORDED, variables=variables)


def _read_alfa_tree(folder: Path, number: int) -> FileTree:
    """Read a set's tree as its image has it: new, with the script among its files."""
    path = folder / tree_file(number)
    entries = read_tree(path).entries if path.is_file() else ()
    return FileTree(name=f"alfa_{number}", entries=entries, made=RECORDED, variables=_ALFA_VARIABLES.get(number, ()))


def _read(path: Path, number: int, tree: FileTree) -> Iterator[Query]:
    """Yield the queries of a set. An entry without two texts is left out; the others keep their numbers."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(listed, list):
            raise TypeError(f"it is {type(listed).__name__}")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is not a list of queries and gold commands ({error!r}).") from error
    pairs = {index: pair for index, entry in enumerate(listed) if (pair := _pair(entry))}
    if not pairs:
        raise DataError(f"{path} has no entry whose 'query' and 'gold' are texts.")
    if wrong := [index for index in range(len(listed)) if index not in pairs]:
        logger.warning(
            "%d of the %d entries of %s are left out: 'query' and 'gold' have to be texts; first entry %d: %.200s",
            *(len(wrong), len(listed), path, wrong[0], json.dumps(listed[wrong[0]])),
        )
    for index, (text, gold) in pairs.items():
        yield Query(
            id=f"{tree.name}/{index}",
            split="train" if number in _TRAINING_SETS else "test",
            kind=tree.name,
            text=text,
            gold=gold,
            tree=tree.name,
            other_gold=_other_gold(listed[index]),
        )


def _other_gold(entry: Mapping[str, object]) -> str:
    """Return the second gold command of an entry, which only the corrected queries have."""
    gold = entry.get("gold2", "")
    return gold if isinstance(gold, str) and gold.strip() else ""


def _pair(entry: object) -> tuple[str, str] | None:
    """Return the query and the gold command of ``entry``, or None if one of them is missing or empty or no text."""
    values = [entry.get(name) for name in ("query", "gold")] if isinstance(entry, dict) else []
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    return (texts[0], texts[1]) if len(texts) == 2 else None
