"""Drawing requests about a built-in tree: slots that make sense there, a wording, and the gold command."""

from __future__ import annotations

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
    Family,
    command_slots,
    fill,
    read_table,
)
from leap_exp.envs.intercode_bash.builtin.planting import Grove, ending
from leap_exp.envs.intercode_bash.requests import Request
from leap_exp.envs.intercode_bash.trees import Entry

WITHOUT_PLACE = "/ -xdev"
"""Where a name is looked for when the request mentions no folder: everywhere but on mounted file systems."""

_HIDDEN_SHARE = 0.75
"""How often a request names something without its path."""
_HINTED_SHARE = 0.35
"""How often a request with such a name says in which folder everything lies."""
_TRIES = 400
_EXECUTABLE, _WRITABLE = 0o100, 0o200
_SIGNALS = (
    "HUP",
    "INT",
    "QUIT",
    "ABRT",
    "KILL",
    "USR1",
    "SEGV",
    "USR2",
    "PIPE",
    "ALRM",
    "TERM",
    "CHLD",
    "CONT",
    "STOP",
)
_NUMBERS = {"signal_name": range(1, 32), "niceness": range(3, 18)}
_CHECKS = ("checked by", "approved by", "to be read by", "last seen by")


def ask(grove: Grove, seed: int) -> Iterator[Request]:
    """One request of every family about ``grove``, no two with the same text."""
    asked: set[str] = set()
    for family in FAMILIES.values():
        rng = Random(derive_seed(seed, "intercode", "request", grove.theme.name, family.name))
        for _ in range(_TRIES):
            slots = _draw_slots(family, grove, rng)
            if slots is None or not _makes_sense(family, slots, grove):
                continue
            query = _word(family, slots, grove, rng)
            if query not in asked:
                asked.add(query)
                yield _request(family, slots, query, grove)
                break


def _request(family: Family, slots: Mapping[str, str], query: str, grove: Grove) -> Request:
    values = {**command_slots(slots), "base": grove.theme.top if f"{grove.theme.top}" in query else WITHOUT_PLACE}
    if "file" in slots:
        values["home"] = posixpath.dirname(slots["file"])
    if "heading" in slots:
        header = _text(grove.entries[slots["file"]]).splitlines()[0].split(",")
        values["column"] = str(header.index(slots["heading"]) + 1)
    return Request(
        id=f"{grove.theme.name}/{family.name}",
        split=grove.theme.split,
        kind=family.kind,
        query=query,
        gold=fill(family.gold, values),
        tree=grove.theme.name,
    )


def _word(family: Family, slots: Mapping[str, str], grove: Grove, rng: Random) -> str:
    """The request in words; what is located is called by its name or by its path."""
    said = dict(slots)
    hidden = "name" in slots
    for slot in LOCATED:
        if slot not in slots:
            continue
        called = slots[slot]
        if rng.random() < _HIDDEN_SHARE:
            hidden, called = True, posixpath.basename(called)
        forms = read_table("families.toml")[f"{slot}_names"]
        said[slot] = rng.choice(["<x>", *forms] if called.startswith("/") else forms).replace("<x>", called)
    query = fill(rng.choice(family.wordings), said)
    if hidden and rng.random() < _HINTED_SHARE:
        query += " " + rng.choice(HINTS).replace("<top>", grove.theme.top)
    return query


def _draw_slots(family: Family, grove: Grove, rng: Random) -> dict[str, str] | None:
    """Values for the slots of ``family``, each possible by itself; None if there is none."""
    slots: dict[str, str] = {}
    wanted = family.slots
    candidates = [entry.path for entry in grove.files if ending(entry.path) in family.files and entry.content]
    if "file" in wanted:
        slots["file"] = rng.choice(candidates)
    if "name" in wanted:
        slots["name"] = posixpath.basename(rng.choice(candidates))
    if "folder" in wanted:
        slots["folder"] = rng.choice(grove.folders)
    about = [grove.entries[slots["file"]]] if "file" in slots else grove.below(slots.get("folder", grove.theme.top))
    for slot, draw in _DRAWS.items():
        if slot in wanted:
            options = draw(family, grove, about, rng)
            if not options:
                return None
            slots[slot] = rng.choice(options)
    for slot, options_by_word in CHOICES.items():
        if slot in wanted:
            slots[slot] = rng.choice(list(options_by_word))
    if "new_word" in wanted:
        slots["new_word"] = rng.choice([word for word in grove.theme.words if slots["word"] not in word])
    if "new_name" in wanted:
        slots["new_name"] = _fresh_name(grove, ending(slots["file"]) if "file" in slots else "txt", rng)
    if "out" in wanted:
        slots["out"] = f"{grove.theme.top}/{_fresh_name(grove, 'txt' if 'file' in slots else 'tar', rng)}"
    return slots


def _draw_words(_family: Family, grove: Grove, about: Sequence[Entry], _rng: Random) -> list[str]:
    texts = "\n".join(_text(entry) for entry in about if ending(entry.path) not in ("tar", "gz"))
    return [word for word in (*grove.theme.words, *LEVELS[1:]) if word in texts]


def _draw_endings(family: Family, _grove: Grove, about: Sequence[Entry], _rng: Random) -> list[str]:
    only = {"set_modes": ("sh",), "clear_ending": ("tmp", "bak", "log", "gz")}.get(family.name)
    return sorted(
        {kind for entry in about if only is None or ending(entry.path) in only for kind in [ending(entry.path)]}
    )


def _draw_modes(family: Family, _grove: Grove, about: Sequence[Entry], _rng: Random) -> list[str]:
    return ["755", "750", "700"] if family.name == "set_modes" else sorted({f"{entry.mode:o}" for entry in about})


def _draw_numbers(family: Family, grove: Grove, about: Sequence[Entry], _rng: Random) -> list[str]:
    if family.name == "bigger_files":
        return sorted(
            {str(len(entry.content or b"") // 100 * 100) for entry in about if len(entry.content or b"") > 100}
        )
    if family.name in _NUMBERS:
        return _own([str(number) for number in _NUMBERS[family.name]], grove)
    return [str(number) for number in (range(2, 5) if family.name == "largest_files" else range(2, 8))]


def _own(options: Sequence[str], grove: Grove) -> list[str]:
    """The ``options`` that are for the split of ``grove``: what does not depend on the tree must differ by itself."""
    share = len(options) * 2 // 3
    return list(options[:share] if grove.theme.split == "train" else options[share:])


_DRAWS: Mapping[str, Callable[[Family, Grove, Sequence[Entry], Random], list[str]]] = {
    "word": _draw_words,
    "ending": _draw_endings,
    "mode": _draw_modes,
    "n": _draw_numbers,
    "signal": lambda _family, grove, *_: _own(_SIGNALS, grove),
    "heading": lambda _family, grove, *_: [grove.theme.columns[1]],
    "line": lambda _family, grove, _about, rng: [f"{rng.choice(_CHECKS)} {rng.choice(grove.theme.people)}"],
}
"""The values that a slot can have, given the files that the request is about."""


def _fresh_name(grove: Grove, kind: str, rng: Random) -> str:
    # No name in a tree has a number at its end.
    return f"{rng.choice(grove.theme.stems)}_{rng.randint(10, 99)}.{kind}"


def _makes_sense(family: Family, slots: Mapping[str, str], grove: Grove) -> bool:
    """Whether the answer is not empty, and something changes if something is to change."""
    below = grove.below(slots["folder"]) if "folder" in slots else []
    file = grove.entries.get(slots.get("file", ""))
    if family.name == "count_files":
        # One-digit answers are compared as a whole, and guessed more easily.
        return len(below) > 1
    if family.name == "list_folders":
        return any(folder.startswith(f"{slots['folder']}/") for folder in grove.folders)
    if family.name == "newer_files" and file:
        return any(entry.changed > file.changed for entry in below)
    if family.name == "empty_files":
        return any(not entry.content for entry in below)
    if family.name == "executables":
        return any(entry.mode & _EXECUTABLE for entry in below)
    if family.name == "set_modes":
        return any(ending(entry.path) == "sh" and not entry.mode & _EXECUTABLE for entry in below)
    if family.name == "bigger_files":
        return any(len(entry.content or b"") > int(slots["n"]) for entry in below)
    if family.name in ("make_executable", "append") and file:
        return bool(file.mode & _WRITABLE) and not file.mode & _EXECUTABLE
    if family.name in ("copy", "unpack") and file:
        return posixpath.dirname(file.path) != slots["folder"]
    if family.name in ("column_values", "column_sum") and file:
        number = _text(file).splitlines()[0].split(",").index(grove.theme.columns[1])
        numeric = command_slots(slots)["column"] == str(number + 1)
        return numeric == (family.name == "column_sum")
    return True


def _text(entry: Entry) -> str:
    return (entry.content or b"").decode()
