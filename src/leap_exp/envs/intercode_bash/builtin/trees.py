"""Generates the built-in file trees. No file name occurs twice in a tree."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.intercode_bash.builtin.contents import contents
from leap_exp.envs.intercode_bash.builtin.themes import QUALIFIERS, Theme
from leap_exp.envs.intercode_bash.engine.trees import Entry, FileTree

_EXTENSIONS = {
    "txt": 8, "csv": 7, "log": 6, "md": 4, "conf": 4, "sh": 5, "tmp": 5, "bak": 3, "tar": 2, "gz": 3,
}  # fmt: skip
"""Number of files in a tree, by extension."""
_EMPTY = 3
"""Number of .tmp files that are empty."""
_MODES = (0o644, 0o644, 0o644, 0o640, 0o600, 0o664, 0o444)
_SCRIPT_MODES = (0o644, 0o755, 0o644, 0o750, 0o640)
_IN_EACH_FOLDER = 2
_EARLIEST = 1_672_700_000
_MINUTES = 430_000
"""Modification times are within so many minutes of the earliest one, no two in the same minute."""


@dataclass(frozen=True, slots=True)
class BuiltinTree:
    """A built-in file tree with its theme, and its entries by path."""

    theme: Theme
    tree: FileTree
    entries: Mapping[str, Entry]

    @property
    def files(self) -> Sequence[Entry]:
        """All files."""
        return [entry for entry in self.tree.entries if entry.content is not None]

    @property
    def folders(self) -> Sequence[str]:
        """The paths of all folders."""
        return [entry.path for entry in self.tree.entries if entry.content is None]

    def below(self, folder: str) -> Sequence[Entry]:
        """Return the files in ``folder`` at any depth."""
        return [entry for entry in self.files if entry.path.startswith(f"{folder}/")]


def extension(path: str) -> str:
    """Return the part of a file name after the last dot."""
    return path.rpartition(".")[2]


def generate_tree(theme: Theme, seed: int) -> BuiltinTree:
    """Return the tree of ``theme`` for ``seed``."""
    rng = Random(derive_seed(seed, "intercode", "tree", theme.name))
    leaves = [f"{theme.top}/{area}/{name}" for area, names in theme.areas.items() for name in names]
    folders = [theme.top, *(f"{theme.top}/{area}" for area in theme.areas), *leaves]
    entries = [Entry(path=path, mode=0o755) for path in folders]
    entries += _files(theme, [*leaves * _IN_EACH_FOLDER], folders, rng)
    tree = FileTree(name=theme.name, entries=tuple(sorted(entries, key=lambda entry: entry.path)))
    return BuiltinTree(theme, tree, {entry.path: entry for entry in tree.entries})


def _files(theme: Theme, first: Sequence[str], folders: Sequence[str], rng: Random) -> Iterator[Entry]:
    """Yield the files: one in each folder of ``first``, the others in random ``folders``."""
    extensions = [name for name, count in _EXTENSIONS.items() for _ in range(count)]
    names = _draw_names(theme, extensions, rng)
    homes = [*first, *rng.choices(folders, k=len(names) - len(first))]
    rng.shuffle(homes)
    minutes = rng.sample(range(_MINUTES), len(names))
    scripts, empty = iter(_SCRIPT_MODES * len(names)), _EMPTY
    for name, home, minute in zip(names, homes, minutes, strict=True):
        kind = extension(name)
        data = contents(kind, theme, rng)
        if kind == "tmp" and empty:
            data, empty = b"", empty - 1
        mode = next(scripts) if kind == "sh" else rng.choice(_MODES)
        yield Entry(path=f"{home}/{name}", mode=mode, content=data, changed=_EARLIEST + 60.0 * minute)


def _draw_names(theme: Theme, extensions: Sequence[str], rng: Random) -> list[str]:
    """Return a name for each extension, all different; some have the same stem."""
    names: dict[str, None] = {}
    for each in extensions:
        while True:
            stem = rng.choice(theme.stems)
            name = f"{stem}.{each}" if rng.random() < 1 / 2 else f"{stem}_{rng.choice(QUALIFIERS)}.{each}"
            if name not in names:
                names[name] = None
                break
    return list(names)
