"""Contents of the files in a built-in tree, by file extension."""

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random

from leap_exp.envs.intercode_bash.builtin.themes import Theme
from leap_exp.envs.intercode_bash.engine.trees import USUAL_TIME

_START = datetime(2023, 1, 9, 6, tzinfo=UTC)
_BLOCK = 512
LEVELS = ("INFO", "WARN", "ERROR")

_SETTINGS = (
    ("contact", "<person>"), ("fallback_contact", "<person>"), ("place", "<place>"), ("language", "en"),
    ("retries", "<number>"), ("timeout_seconds", "<number>"), ("keep_days", "<number>"), ("default_item", "<item>"),
    ("mail_reports", "yes"), ("verbose", "no"), ("max_rows", "<number>"), ("units", "metric"),
    ("alarm_place", "<place>"),
)  # fmt: skip
_SCRIPT = (
    "set -eu", "count=<number>", "target=<place>", "echo checking the <item>", "if test $count -gt 10; then",
    "  echo too many for $target", "fi", "# <person> asked for this", "for name in <item> <item>; do", "  echo $name",
    "done",
)  # fmt: skip


def contents(extension: str, theme: Theme, rng: Random) -> bytes:
    """Return the contents of a file with this extension: an archive for tar, compressed text for gz, else text."""
    if extension == "tar":
        return _archive(theme, rng)
    if extension == "gz":
        return _compressed(_log(theme, rng).encode())
    return _WRITERS.get(extension, _note)(theme, rng).encode()


def _log(theme: Theme, rng: Random) -> str:
    moment = _START + timedelta(minutes=rng.randint(0, 300_000))
    lines = []
    for _ in range(rng.randint(12, 45)):
        moment += timedelta(seconds=rng.randint(20, 4000))
        level = rng.choices(LEVELS, weights=(6, 2, 1))[0]
        lines.append(f"{moment:%Y-%m-%d %H:%M:%S} {level} {theme.sentence(rng.choice(theme.messages), rng)}")
    return _joined(lines)


def _table(theme: Theme, rng: Random) -> str:
    order = rng.sample(range(4), 4)
    lines = [",".join(theme.columns[column] for column in order)]
    for _ in range(rng.randint(11, 40)):
        row = (rng.choice(theme.items), str(rng.randint(2, 480)), rng.choice(theme.places), rng.choice(theme.people))
        lines.append(",".join(row[column] for column in order))
    return _joined(lines)


def _note(theme: Theme, rng: Random) -> str:
    return _joined([theme.sentence(rng.choice(theme.notes), rng) for _ in range(rng.randint(8, 32))])


def _outline(theme: Theme, rng: Random) -> str:
    lines = [f"# {rng.choice(theme.places)} and {rng.choice(theme.items)}", ""]
    for _ in range(rng.randint(2, 4)):
        lines += [f"## {rng.choice(theme.people)}", ""]
        lines += [f"- {theme.sentence(rng.choice(theme.notes), rng)}" for _ in range(rng.randint(3, 7))]
    return _joined(lines)


def _settings(theme: Theme, rng: Random) -> str:
    lines = rng.sample(_SETTINGS, rng.randint(6, len(_SETTINGS)))
    return _joined(["# settings", *(f"{name} = {theme.sentence(value, rng)}" for name, value in lines)])


def _script(theme: Theme, rng: Random) -> str:
    # The lines are in a fixed order, so that the script would run.
    return _joined(["#!/bin/bash", *(theme.sentence(line, rng) for line in _SCRIPT)])


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


_WRITERS: Mapping[str, Callable[[Theme, Random], str]] = {
    "log": _log,
    "csv": _table,
    "md": _outline,
    "conf": _settings,
    "sh": _script,
}


def _archive(theme: Theme, rng: Random) -> bytes:
    """Return a tar archive of a few notes; its bytes are the same on every machine."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, stem in enumerate(rng.sample(theme.stems, rng.randint(3, 6))):
            text = _note(theme, rng).encode()
            member = tarfile.TarInfo(f"{stem}_{rng.randint(100, 999)}.txt")
            member.size, member.mode, member.mtime = len(text), 0o644, USUAL_TIME - 86_400 * number
            archive.addfile(member, io.BytesIO(text))
    # Two empty blocks end an archive. Python pads it to 10 KiB, which would make it the largest file of every tree.
    used = -(-len(packed.getvalue().rstrip(b"\0")) // _BLOCK) * _BLOCK
    return packed.getvalue()[:used] + bytes(2 * _BLOCK)


def _compressed(text: bytes) -> bytes:
    """Return ``text`` as a gzip file without compression, because the compressed bytes depend on zlib's version."""
    header = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
    block = b"\x01" + struct.pack("<HH", len(text), 0xFFFF ^ len(text)) + text
    return header + block + struct.pack("<II", zlib.crc32(text), len(text))
