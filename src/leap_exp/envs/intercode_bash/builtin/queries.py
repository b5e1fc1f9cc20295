"""Generates queries about a built-in tree: slot values that make sense there, a wording, and the gold command."""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.intercode_bash.builtin.contents import LEVELS
from leap_exp.envs.intercode_bash.builtin.families import (
    CHOICES,
    FAMILIES,
    HINTS,
    LOCATED,
    WITHOUT_PLACE,
    Family,
    command_slots,
    fill,
    read_table,
)
from leap_exp.envs.intercode_bash.builtin.trees import BuiltinTree, extension
from leap_exp.envs.intercode_bash.engine.queries import Query
from leap_exp.envs.intercode_bash.engine.trees import Entry

_HIDDEN_SHARE = 0.75
"""How often a query names a file or folder without its path."""
_HINTED_SHARE = 0.35
"""How often such a query mentions the top folder."""
_TRIES = 400
_EXECUTABLE, _WRITABLE = 0o100, 0o200
_SIGNALS = (
    *("HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "SEGV"),
    *("USR2", "PIPE", "ALRM", "TERM", "CHLD", "CONT", "STOP"),
)
_NUMBERS = {"signal_name": range(1, 32), "niceness": range(3, 18)}
_CHECKS = ("checked by", "approved by", "to be read by", "last seen by")


def generate_queries(tree: BuiltinTree, seed: int) -> Iterator[Query]:
    """Yield one query of each family about ``tree``, all with different texts."""
    texts: set[str] = set()
    for family in FAMILIES.values():
        rng = Random(derive_seed(seed, "intercode", "request", tree.theme.name, family.name))
        for _ in range(_TRIES):
            slots = _draw_slots(family, tree, rng)
            if slots is None or not _makes_sense(family, slots, tree):
                continue
            text = _word(family, slots, tree, rng)
            if text not in texts:
                texts.add(text)
                yield _query(family, slots, text, tree)
                break


def _query(family: Family, slots: Mapping[str, str], text: str, tree: BuiltinTree) -> Query:
    values = {**command_slots(slots), "base": tree.theme.top if tree.theme.top in text else WITHOUT_PLACE}
    if "file" in slots:
        values["home"] = posixpath.dirname(slots["file"])
    if "heading" in slots:
        header = _text(tree.entries[slots["file"]]).splitlines()[0].split(",")
        values["column"] = str(header.index(slots["heading"]) + 1)
    return Query(
        id=f"{tree.theme.name}/{family.name}",
        split=tree.theme.split,
        kind=family.kind,
        text=text,
        gold=fill(family.gold, values),
        tree=tree.theme.name,
    )


def _word(family: Family, slots: Mapping[str, str], tree: BuiltinTree, rng: Random) -> str:
    """Return the text of a query; files and folders are given by name or by path."""
    words = dict(slots)
    hidden = "name" in slots
    for slot in LOCATED:
        if slot not in slots:
            continue
        called = slots[slot]
        if rng.random() < _HIDDEN_SHARE:
            hidden, called = True, posixpath.basename(called)
        forms = read_table("families.toml")[f"{slot}_names"]
        words[slot] = rng.choice(["<x>", *forms] if called.startswith("/") else forms).replace("<x>", called)
    text = fill(rng.choice(family.wordings), words)
    if hidden and rng.random() < _HINTED_SHARE:
        text += " " + rng.choice(HINTS).replace("<top>", tree.theme.top)
    return text


def _draw_slots(family: Family, tree: BuiltinTree, rng: Random) -> dict[str, str] | None:
    """Draw a value for each slot of ``family`` independently; None if a slot has no possible value."""
    slots: dict[str, str] = {}
    wanted = family.slots
    candidates = [entry.path for entry in tree.files if extension(entry.path) in family.files and entry.content]
    if "file" in wanted:
        slots["file"] = rng.choice(candidates)
    if "name" in wanted:
        slots["name"] = posixpath.basename(rng.choice(candidates))
    if "folder" in wanted:
        slots["folder"] = rng.choice(tree.folders)
    about = [tree.entries[slots["file"]]] if "file" in slots else tree.below(slots.get("folder", tree.theme.top))
    for slot, draw in _DRAWS.items():
        if slot in wanted:
            options = draw(family, tree, about, rng)
            if not options:
                return None
            slots[slot] = rng.choice(options)
    for slot, options_by_word in CHOICES.items():
        if slot in wanted:
            slots[slot] = rng.choice(list(options_by_word))
    if "new_word" in wanted:
        slots["new_word"] = rng.choice([word for word in tree.theme.words if slots["word"] not in word])
    if "new_name" in wanted:
        slots["new_name"] = _fresh_name(tree, extension(slots["file"]) if "file" in slots else "txt", rng)
    if "out" in wanted:
        slots["out"] = f"{tree.theme.top}/{_fresh_name(tree, 'txt' if 'file' in slots else 'tar', rng)}"
    return slots


def _draw_words(_family: Family, tree: BuiltinTree, about: Sequence[Entry], _rng: Random) -> list[str]:
    texts = "\n".join(_text(entry) for entry in about if extension(entry.path) not in ("tar", "gz"))
    return [word for word in (*tree.theme.words, *LEVELS[1:]) if word in texts]


def _draw_endings(family: Family, _tree: BuiltinTree, about: Sequence[Entry], _rng: Random) -> list[str]:
    only = {"set_modes": ("sh",), "clear_ending": ("tmp", "bak", "log", "gz")}.get(family.name)
    return sorted(
        {kind for entry in about if only is None or extension(entry.path) in only for kind in [extension(entry.path)]}
    )


def _draw_modes(family: Family, _tree: BuiltinTree, about: Sequence[Entry], _rng: Random) -> list[str]:
    return ["755", "750", "700"] if family.name == "set_modes" else sorted({f"{entry.mode:o}" for entry in about})


def _draw_numbers(family: Family, tree: BuiltinTree, about: Sequence[Entry], _rng: Random) -> list[str]:
    if family.name == "bigger_files":
        return sorted(
            {str(len(entry.content or b"") // 100 * 100) for entry in about if len(entry.content or b"") > 100}
        )
    if family.name in _NUMBERS:
        return _own([str(number) for number in _NUMBERS[family.name]], tree)
    return [str(number) for number in (range(2, 5) if family.name == "largest_files" else range(2, 8))]


def _own(options: Sequence[str], tree: BuiltinTree) -> list[str]:
    """Return the split's share of ``options`` that do not depend on the tree, so that train and test queries differ."""
    share = len(options) * 2 // 3
    return list(options[:share] if tree.theme.split == "train" else options[share:])


_DRAWS: Mapping[str, Callable[[Family, BuiltinTree, Sequence[Entry], Random], list[str]]] = {
    "word": _draw_words,
    "ending": _draw_endings,
    "mode": _draw_modes,
    "n": _draw_numbers,
    "signal": lambda _family, tree, *_: _own(_SIGNALS, tree),
    "heading": lambda _family, tree, *_: [tree.theme.columns[1]],
    "line": lambda _family, tree, _about, rng: [f"{rng.choice(_CHECKS)} {rng.choice(tree.theme.people)}"],
}
"""Functions that return the possible values of a slot, given the files that the query is about."""


def _fresh_name(tree: BuiltinTree, kind: str, rng: Random) -> str:
    # No name in a tree ends with a number.
    return f"{rng.choice(tree.theme.stems)}_{rng.randint(10, 99)}.{kind}"


def _makes_sense(family: Family, slots: Mapping[str, str], tree: BuiltinTree) -> bool:
    """Return whether the answer is not empty, and the command changes something if it should."""
    below = tree.below(slots["folder"]) if "folder" in slots else []
    file = tree.entries.get(slots.get("file", ""))
    if family.name == "count_files":
        # A count of 0 or 1 is too easy to guess.
        return len(below) > 1
    if family.name == "list_folders":
        return any(folder.startswith(f"{slots['folder']}/") for folder in tree.folders)
    if family.name == "newer_files" and file:
        return any(entry.changed > file.changed for entry in below)
    if family.name == "empty_files":
        return any(not entry.content for entry in below)
    if family.name == "executables":
        return any(entry.mode & _EXECUTABLE for entry in below)
    if family.name == "set_modes":
        return any(extension(entry.path) == "sh" and not entry.mode & _EXECUTABLE for entry in below)
    if family.name == "bigger_files":
        return any(len(entry.content or b"") > int(slots["n"]) for entry in below)
    if family.name in ("make_executable", "append") and file:
        return bool(file.mode & _WRITABLE) and not file.mode & _EXECUTABLE
    if family.name in ("copy", "unpack") and file:
        return posixpath.dirname(file.path) != slots["folder"]
    if family.name in ("column_values", "column_sum") and file:
        number = _text(file).splitlines()[0].split(",").index(tree.theme.columns[1])
        numeric = command_slots(slots)["column"] == str(number + 1)
        return numeric == (family.name == "column_sum")
    return True


def _text(entry: Entry) -> str:
    return (entry.content or b"").decode()
