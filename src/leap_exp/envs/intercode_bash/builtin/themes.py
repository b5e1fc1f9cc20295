"""Themes of the built-in file trees, read from ``themes.toml``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from leap_exp.envs.intercode_bash.builtin.families import read_table

_SLOT = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """The words of one tree. ``themes.toml`` describes the fields."""

    name: str
    split: str
    areas: Mapping[str, tuple[str, ...]]
    stems: tuple[str, ...]
    items: tuple[str, ...]
    places: tuple[str, ...]
    people: tuple[str, ...]
    columns: tuple[str, ...]
    messages: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def top(self) -> str:
        """The folder in / that contains the whole tree."""
        return f"/{self.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """Words that occur often in its texts."""
        return (*self.items, *self.places, *self.people)

    def sentence(self, template: str, rng: Random) -> str:
        """Return ``template`` with random words of the theme in its slots."""
        words = {
            "item": rng.choice(self.items),
            "place": rng.choice(self.places),
            "person": rng.choice(self.people),
            "number": str(rng.randint(3, 240)),
        }
        return _SLOT.sub(lambda slot: words[slot[1]], template)


def _read_themes() -> tuple[Theme, ...]:
    tables = {name: row for name, row in read_table("themes.toml").items() if name != "qualifiers"}
    return tuple(
        Theme(
            name=name,
            split=row["split"],
            areas={area: tuple(folders) for area, folders in row["areas"].items()},
            **{key: tuple(row[key]) for key in ("stems", "items", "places", "people", "columns", "messages", "notes")},
        )
        for name, row in tables.items()
    )


QUALIFIERS: tuple[str, ...] = tuple(read_table("themes.toml")["qualifiers"])
THEMES: tuple[Theme, ...] = _read_themes()
