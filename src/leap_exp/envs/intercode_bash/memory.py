"""What an agent can remember from its history: the commands, what they printed, and which paths it has seen."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leap_exp.core.types import View
from leap_exp.envs.intercode_bash.shell import resolve
from leap_exp.envs.intercode_bash.shell_words import ancestors, same_command, top_of, words
from leap_exp.envs.intercode_bash.version_control import IGNORED

_ERROR = re.compile(
    r"No such file|Permission denied|cannot |command not found|syntax error|invalid |Is a directory|Not a directory|"
    r"missing |unrecognized|File exists|Malformed command|Command timed out|unexpected |already exists|"
    r"OCI runtime exec failed|unknown predicate|Usage:|Try '",
    re.IGNORECASE,
)
_SHOWN = re.compile(r"(?<![\w./-])\.{0,1}/[\w.+/-]*\w")
_SYSTEM = frozenset(f"/{name}" for name in (*IGNORED, ".git", "tmp"))
_LISTING = ("ls", "dir")


@dataclass(frozen=True, slots=True)
class Turn:
    """A command and what it printed."""

    command: str
    output: str

    @property
    def failed(self) -> bool:
        """Whether what it printed looks like an error."""
        return any(is_error(line) for line in self.output.splitlines())


@dataclass(frozen=True, slots=True)
class Memory:
    """The turns so far and the absolute paths that their outputs showed, in order."""

    turns: Sequence[Turn]
    paths: Sequence[str]

    @property
    def last(self) -> Turn | None:
        """The newest turn."""
        return self.turns[-1] if self.turns else None

    def has_run(self, command: str) -> bool:
        """Whether ``command`` was given before, up to blanks and quotes."""
        return any(same_command(command, turn.command) for turn in self.turns)

    def place_of(self, name: str) -> str | None:
        """The path of what is called ``name``, if it was seen outside the system's own folders."""
        seen = (path for shown in self.paths for path in ancestors(shown))
        return next((path for path in seen if posixpath.basename(path) == name and top_of(path) not in _SYSTEM), None)

    def knows(self, path: str) -> bool:
        """Whether ``path`` was seen, by itself or as the beginning of another."""
        return any(path == each for shown in self.paths for each in ancestors(shown))


def recall(view: View) -> Memory:
    """What the agent of ``view`` remembers."""
    shown = [*(step.observation.text for step in view.history[1:]), view.observation.text]
    turns = [Turn(step.decision.action, text) for step, text in zip(view.history, shown, strict=False)]
    paths: dict[str, None] = {}
    workdir = "/"
    for turn in turns:
        paths |= dict.fromkeys(_paths_shown(turn, workdir))
        if turn.command.startswith("cd ") and not turn.failed:
            workdir = resolve(workdir, turn.command.removeprefix("cd ").strip())
    return Memory(turns, list(paths))


def is_error(line: str) -> bool:
    """Whether ``line`` looks like a program's complaint."""
    return (": " in line and _ERROR.search(line) is not None) or line in ("Malformed command", "Command timed out")


def _paths_shown(turn: Turn, workdir: str) -> Iterator[str]:
    """The paths that the turn's output shows; those relative to the working directory made absolute."""
    folder = _listed_folder(turn.command, workdir)
    for line in turn.output.splitlines():
        if is_error(line):
            continue
        if folder is not None and (header := re.fullmatch(r"([\w./+-]+):", line)):
            folder = resolve(workdir, header[1])
            yield folder
        elif found := _SHOWN.findall(line):
            yield from (resolve(workdir, path) for path in found)
        elif folder is not None and line.strip():
            yield from (resolve(folder, name) for name in line.split()[-1:])


def _listed_folder(command: str, workdir: str) -> str | None:
    """The folder that ``command`` lists, if it is ``ls`` of one."""
    said = words(command)
    if not said or said[0] not in _LISTING or "|" in said:
        return None
    named = [word for word in said[1:] if not word.startswith("-")]
    return resolve(workdir, named[0]) if named else workdir
