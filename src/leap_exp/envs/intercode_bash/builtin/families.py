"""Families of queries: one command in several wordings, and parsing a query back into its family and slots."""

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
"""Slots for files and folders: a query may name them without their path."""

WITHOUT_PLACE = "/ -xdev"
"""Where to search for a name if the query mentions no folder: everywhere except on mounted file systems."""

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
    """One kind of query. ``families.toml`` describes the fields."""

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
        """The names of the slots in its wordings."""
        return frozenset(_SLOT.findall(self.wordings[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedQuery:
    """A parsed query.

    Attributes:
        family: Its family.
        slots: Values of the slots as in the text, so a file may be a name or a path.
        top: The top folder that the query mentions, or "".
    """

    family: Family
    slots: Mapping[str, str]
    top: str


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return ``template`` with the ``values`` in its slots.

    Raises:
        KeyError: A slot has no value.
    """
    return _SLOT.sub(lambda slot: values[slot[1]], template)


def command_slots(slots: Mapping[str, str]) -> dict[str, str]:
    """Return the values of ``slots`` for commands: words such as "third" become what the command needs."""
    return {name: CHOICES[name][value] if name in CHOICES else value for name, value in slots.items()}


@lru_cache(maxsize=4096)
def parse_query(query: str) -> ParsedQuery | None:
    """Return the family and slots of a built-in query; None for any other text."""
    text = query.strip()
    for hint in _hint_patterns():
        text = hint.sub("", text)
    for family, pattern in _wording_patterns():
        if found := pattern.fullmatch(text):
            mentioned = _TOP.search(query)
            top = mentioned[0] if mentioned else ""
            return ParsedQuery(family=family, slots=MappingProxyType(found.groupdict()), top=top)
    return None


@cache
def read_table(name: str) -> Mapping[str, Any]:
    """Return the contents of a TOML file of this package."""
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def _hint_patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(" " + re.escape(hint).replace("<top>", _PLACE) + "$") for hint in HINTS)


@cache
def _wording_patterns() -> tuple[tuple[Family, re.Pattern[str]], ...]:
    return tuple((family, _pattern(wording)) for family in FAMILIES.values() for wording in family.wordings)


def _pattern(wording: str) -> re.Pattern[str]:
    """Return a pattern that matches the wording with any values in its slots."""
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
