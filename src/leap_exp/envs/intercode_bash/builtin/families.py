"""Families of requests: one command in several wordings, and the way back from a wording to its family and slots."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

_SLOT = re.compile(r"<([a-z_]+)>")
LOCATED = ("file", "folder")
"""Slots for something that lies somewhere: a request may name it without saying where."""

_TOP = re.compile(r"(?<![\w.])/\w+")
_NAMED = r"(?:the (?:file|folder|directory) (?:named )?)?(?P<{slot}>/?\w[\w./-]*)"
_PATTERNS = {
    "n": r"\d+",
    "mode": r"[0-7]{3}",
    "word": r"[\w ]+",
    "new_word": r"[\w ]+",
    "line": r"[\w ]+",
    "ending": r"\w+",
}
_ANYTHING = r"/?\w[\w./-]*"
_PLACE = r"/[\w./-]*\w"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of request. The fields are those of ``families.toml``."""

    name: str
    kind: str
    gold: str
    wordings: tuple[str, ...]
    files: tuple[str, ...]
    also: tuple[str, ...]
    look: str
    once: bool

    @property
    def slots(self) -> frozenset[str]:
        """What has to be filled in in its wordings."""
        return frozenset(_SLOT.findall(self.wordings[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A request read back: its family, what stands in its slots, and the folder that it says everything lies in.

    The values are as in the request, so that a file may be a name or a path. ``top`` is "" if no place is mentioned.
    """

    family: Family
    slots: Mapping[str, str]
    top: str


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its slots filled from ``values``.

    Raises:
        KeyError: A slot has no value.
    """
    return _SLOT.sub(lambda slot: values[slot[1]], template)


def command_slots(slots: Mapping[str, str]) -> dict[str, str]:
    """``slots`` as they stand in commands: words such as "third" become what the command needs."""
    return {name: CHOICES[name][value] if name in CHOICES else value for name, value in slots.items()}


@lru_cache(maxsize=4096)
def recognise(query: str) -> Recognised | None:
    """The family and slots of ``query``; None if it is worded in no way that is known here."""
    text = query.strip()
    for hint in _hint_patterns():
        text = hint.sub("", text)
    for family, pattern in _wording_patterns():
        if found := pattern.fullmatch(text):
            mentioned = _TOP.search(query)
            top = mentioned[0] if mentioned else ""
            return Recognised(family=family, slots=MappingProxyType(found.groupdict()), top=top)
    return None


@cache
def read_table(name: str) -> Mapping[str, Any]:
    """The contents of file ``name`` of this package."""
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def _hint_patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(" " + re.escape(hint).replace("<top>", _PLACE) + "$") for hint in HINTS)


@cache
def _wording_patterns() -> tuple[tuple[Family, re.Pattern[str]], ...]:
    return tuple((family, _pattern(wording)) for family in FAMILIES.values() for wording in family.wordings)


def _pattern(wording: str) -> re.Pattern[str]:
    """What the wording looks like with its slots filled."""
    parts = _SLOT.split(wording)
    pieces = [_slot_pattern(part) if index % 2 else re.escape(part) for index, part in enumerate(parts)]
    return re.compile("".join(pieces))


def _slot_pattern(slot: str) -> str:
    if slot in LOCATED:
        return _NAMED.format(slot=slot)
    if slot in CHOICES:
        return f"(?P<{slot}>{'|'.join(re.escape(word) for word in CHOICES[slot])})"
    return f"(?P<{slot}>{_PATTERNS.get(slot, _ANYTHING)})"


def _read_families() -> dict[str, Family]:
    return {
        name: Family(
            name=name,
            kind=row["kind"],
            gold=row["gold"],
            wordings=tuple(row["wordings"]),
            files=tuple(row.get("files", ())),
            also=tuple(row.get("also", ())),
            look=row.get("look", ""),
            once=row.get("once", False),
        )
        for name, row in read_table("families.toml")["families"].items()
    }


CHOICES: Mapping[str, Mapping[str, str]] = read_table("families.toml")["choices"]
HINTS: tuple[str, ...] = tuple(read_table("families.toml")["hints"])
FAMILIES: Mapping[str, Family] = _read_families()
