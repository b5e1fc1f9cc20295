"""Reading commands: words, equal commands, programs, paths, and whether anything is changed."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_OPERATORS = "|<>;&()"
_PATH = re.compile(r"(?<![\w.~$*/-])/[\w.+-][\w.+/-]*")
_DEVICES = ("/dev/", "/proc/", "/sys/")
_CHANGING = frozenset(
    [
        *("cp", "mv", "rm", "rmdir", "chmod", "chown", "chgrp", "touch", "mkdir", "ln", "gzip", "gunzip", "tee"),
        *("truncate", "split", "cpio", "dd", "install", "rename", "unzip", "zip", "compress", "rsync"),
    ]
)
_NOT_CHANGING = {"gzip": ("-dc", "-cd", "-c", "-l"), "gunzip": ("-c",)}


@dataclass(frozen=True, slots=True)
class Part:
    """One program of a command, with its options and other words, and the operator before it ("" for the first)."""

    program: str
    words: tuple[str, ...]
    operator: str


@lru_cache(maxsize=16384)
def words(command: str) -> tuple[str, ...]:
    """The words and operators of ``command``, without quotes; cut at blanks if the quotes are not closed."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return tuple(lexer)
    except ValueError:
        return tuple(command.split())


def same_command(first: str, second: str) -> bool:
    """Whether two commands are equal up to blanks and quotes."""
    return words(first) == words(second)


def parts(command: str) -> Sequence[Part]:
    """The programs of ``command`` in order; what stands behind ``<`` or ``>`` is no program."""
    return tuple(_parts(command))


def _parts(command: str) -> Iterator[Part]:
    collected: list[str] = []
    operator, redirected = "", False
    for word in (*words(command), "|"):
        if word in ("|", "||", "&&", ";", "&") and not (word == ";" and "-exec" in collected):
            if collected:
                yield Part(collected[0], tuple(collected[1:]), operator)
            collected, operator = [], word
        elif word in ("<", ">", ">>"):
            redirected = True
            collected.append(word)
        elif redirected and not collected[:-1]:
            # A command may begin with its redirection.
            collected, redirected = [], False
        else:
            redirected = False
            collected.append(word)


def changes_files(command: str) -> bool:
    """Whether ``command`` may change files, as far as its words tell."""
    for part in parts(command):
        programs = {part.program, *_started(part)}
        if any(word in (">", ">>") for word in part.words) and not _only_to_null(part.words):
            return True
        if changing := programs & _CHANGING:
            harmless = {option for program in changing for option in _NOT_CHANGING.get(program, ())}
            if not harmless.intersection(part.words):
                return True
        if "-delete" in part.words or ("sed" in programs and any(word.startswith("-i") for word in part.words)):
            return True
        if "tar" in programs and not _lists(part.words):
            return True
    return False


def paths(command: str) -> Sequence[str]:
    """The absolute paths of files and folders in ``command``, as ``paths_in`` gives them; not those within quotes."""
    return paths_in(" ".join(word for word in words(command) if word.startswith("/")))


def paths_in(text: str) -> Sequence[str]:
    """The absolute paths in ``text``, each once, up to the first sign of a pattern, and without a slash at the end."""
    found = (path.rstrip("/") for path in _PATH.findall(text))
    return tuple(dict.fromkeys(path for path in found if path and not path.startswith(_DEVICES)))


def top_of(path: str) -> str:
    """The folder in ``/`` that ``path`` lies in, or is."""
    return "/" + path.strip("/").split("/")[0]


def ancestors(path: str) -> Iterator[str]:
    """``path`` and the folders that it lies in, without ``/``."""
    while path not in ("", "/"):
        yield path
        path = posixpath.dirname(path)


def _started(part: Part) -> Iterator[str]:
    """Programs that ``find`` and ``xargs`` start."""
    for before, word in zip((part.program, *part.words), part.words, strict=False):
        if before in ("-exec", "-execdir", "-ok") or (before == "xargs" and not word.startswith("-")):
            yield word
    if part.program == "xargs":
        yield from (word for word in part.words if word in _CHANGING)


def _only_to_null(said: Sequence[str]) -> bool:
    targets = [after for word, after in pairwise(said) if word in (">", ">>")]
    return all(target == "/dev/null" for target in targets)


def _lists(said: Sequence[str]) -> bool:
    """Whether the words behind ``tar`` only list an archive."""
    return any(word == "--list" or re.fullmatch(r"-?[a-su-wyz]*t[a-su-wyz]*", word) for word in said[:1])
