"""Parses shell commands: their words, programs and paths, and whether they change files."""

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
    """One program of a command with its arguments, and the operator before it ("" for the first)."""

    program: str
    arguments: tuple[str, ...]
    operator: str


@lru_cache(maxsize=16384)
def words(command: str) -> tuple[str, ...]:
    """Return the words and operators of ``command``, without quotes; split at blanks if a quote is not closed."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return tuple(lexer)
    except ValueError:
        return tuple(command.split())


def same_command(first: str, second: str) -> bool:
    """Return whether two commands are equal up to blanks and quotes."""
    return words(first) == words(second)


def parts(command: str) -> Sequence[Part]:
    """Return the programs of ``command`` in order; files of redirections are not programs."""
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
            # A command may start with a redirection.
            collected, redirected = [], False
        else:
            redirected = False
            collected.append(word)


def changes_files(command: str) -> bool:
    """Return whether ``command`` may change files, judged by its words."""
    for part in parts(command):
        programs = {part.program, *_started(part)}
        if any(word in (">", ">>") for word in part.arguments) and not _only_to_null(part.arguments):
            return True
        if changing := programs & _CHANGING:
            harmless = {option for program in changing for option in _NOT_CHANGING.get(program, ())}
            if not harmless.intersection(part.arguments):
                return True
        if "-delete" in part.arguments or ("sed" in programs and any(word.startswith("-i") for word in part.arguments)):
            return True
        if "tar" in programs and not _lists(part.arguments):
            return True
    return False


def paths(command: str) -> Sequence[str]:
    """Return the absolute paths among the words of ``command``, as ``paths_in`` does; not those inside quoted text."""
    return paths_in(" ".join(word for word in words(command) if word.startswith("/")))


def paths_in(text: str) -> Sequence[str]:
    """Return the absolute paths in ``text``, without duplicates, trailing slashes and parts with wildcards."""
    found = (path.rstrip("/") for path in _PATH.findall(text))
    return tuple(dict.fromkeys(path for path in found if path and not path.startswith(_DEVICES)))


def top_of(path: str) -> str:
    """Return the first folder of ``path``."""
    return "/" + path.strip("/").split("/")[0]


def ancestors(path: str) -> Iterator[str]:
    """Yield ``path`` and its parent folders, without ``/``."""
    while path not in ("", "/"):
        yield path
        path = posixpath.dirname(path)


def _started(part: Part) -> Iterator[str]:
    """Yield the programs that ``find`` and ``xargs`` start."""
    for before, word in zip((part.program, *part.arguments), part.arguments, strict=False):
        if before in ("-exec", "-execdir", "-ok") or (before == "xargs" and not word.startswith("-")):
            yield word
    if part.program == "xargs":
        yield from (word for word in part.arguments if word in _CHANGING)


def _only_to_null(arguments: Sequence[str]) -> bool:
    targets = [after for word, after in pairwise(arguments) if word in (">", ">>")]
    return all(target == "/dev/null" for target in targets)


def _lists(arguments: Sequence[str]) -> bool:
    """Return whether these arguments of ``tar`` only list an archive."""
    return any(word == "--list" or re.fullmatch(r"-?[a-su-wyz]*t[a-su-wyz]*", word) for word in arguments[:1])
