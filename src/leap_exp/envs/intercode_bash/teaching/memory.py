"""What a history shows: the commands, their output, and the paths seen so far."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leap_exp.core.types import View
from leap_exp.envs.intercode_bash.engine.shell import resolve
from leap_exp.envs.intercode_bash.engine.trees import IGNORED
from leap_exp.envs.intercode_bash.teaching.syntax import ancestors, same_command, top_of, words

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
class PastCommand:
    """A command and its output."""

    command: str
    output: str

    @property
    def failed(self) -> bool:
        """Whether a line of the output looks like an error."""
        return any(is_error(line) for line in self.output.splitlines())


@dataclass(frozen=True, slots=True)
class Memory:
    """The commands so far, and the absolute paths in their outputs, in order."""

    commands: Sequence[PastCommand]
    paths: Sequence[str]

    @property
    def last(self) -> PastCommand | None:
        """The last command, or None."""
        return self.commands[-1] if self.commands else None

    def has_run(self, command: str) -> bool:
        """Return whether ``command`` was run before, up to blanks and quotes."""
        return any(same_command(command, past.command) for past in self.commands)

    def place_of(self, name: str) -> str | None:
        """Return the path of the file or folder ``name``, if one was seen outside the system folders."""
        seen = (path for shown in self.paths for path in ancestors(shown))
        return next((path for path in seen if posixpath.basename(path) == name and top_of(path) not in _SYSTEM), None)

    def knows(self, path: str) -> bool:
        """Return whether ``path`` was seen, alone or as a parent of another path."""
        return any(path == each for shown in self.paths for each in ancestors(shown))


def recall(view: View) -> Memory:
    """Return what the history of ``view`` shows."""
    shown = [*(step.observation.text for step in view.history[1:]), view.observation.text]
    commands = [PastCommand(step.decision.action, text) for step, text in zip(view.history, shown, strict=False)]
    paths: dict[str, None] = {}
    workdir = "/"
    for past in commands:
        paths |= dict.fromkeys(_paths_shown(past, workdir))
        if past.command.startswith("cd ") and not past.failed:
            for part in re.split(r"&&|;|\n", past.command):
                if part.strip().startswith("cd "):
                    workdir = resolve(workdir, part.strip().removeprefix("cd ").strip())
    return Memory(commands, list(paths))


def is_error(line: str) -> bool:
    """Return whether ``line`` looks like an error message."""
    return (": " in line and _ERROR.search(line) is not None) or line in ("Malformed command", "Command timed out")


def _paths_shown(past: PastCommand, workdir: str) -> Iterator[str]:
    """Yield the absolute paths in a command's output, those relative to the working directory included."""
    folder = _listed_folder(past.command, workdir)
    for line in past.output.splitlines():
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
    """Return the folder that an ``ls`` command lists; None for other commands."""
    parsed = words(command)
    if not parsed or parsed[0] not in _LISTING or "|" in parsed:
        return None
    named = [word for word in parsed[1:] if not word.startswith("-")]
    return resolve(workdir, named[0]) if named else workdir
