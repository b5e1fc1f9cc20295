"""What the built-in file trees are about, read from ``themes.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from leap_exp.envs.intercode_bash.builtin.families import read_table

_SLOT = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """The words of one tree. The fields are those of ``themes.toml``."""

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
        """The folder with everything in it."""
        return f"/{self.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """Words that its texts are full of."""
        return (*self.items, *self.places, *self.people)

    def sentence(self, template: str, rng: Random) -> str:
        """``template`` with words of the theme in its slots."""
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
