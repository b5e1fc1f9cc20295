"""The shell as the original offers it: a fresh one for every command, and a working directory that outlives them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from leap_exp.envs.intercode_bash.sandbox import Excess, Outcome, Sandbox

SHELL = "/bin/bash"
TIMED_OUT, MALFORMED = "Command timed out", "Malformed command"
_KILLED = {
    Excess.MEMORY: "Killed: it used too much memory.",
    Excess.PROCESSES: "Killed: it started too many processes.",
    Excess.DISK: "Killed: it filled the disk.",
    Excess.OUTPUT: "Killed: it wrote too much.",
}


class Quoting(StrEnum):
    """How a command reaches the shell."""

    ORIGINAL = "original"
    """Between double quotes, in a line that is cut into words as a shell would, so that the command's own double quotes
    end there and backslashes before them are lost."""
    EXACT = "exact"
    """As it is."""

    def arguments(self, command: str) -> Sequence[str]:
        """The program and arguments that ``command`` becomes.

        Raises:
            ValueError: Its quotes are not closed.
        """
        if self is Quoting.EXACT:
            return [SHELL, "-c", command.strip()]
        return shlex.split(f'{SHELL} -c "{command.strip()}"')


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, as text, and whether it succeeded."""

    text: str
    succeeded: bool


class Shell:
    """Runs one command after the other in ``sandbox``, as the original's ``exec_action`` does."""

    def __init__(self, sandbox: Sandbox, quoting: Quoting) -> None:
        self._sandbox = sandbox
        self._quoting = quoting
        self._workdir = "/"

    def run(self, command: str) -> Answer:
        """Carry out ``command``; one that starts with ``cd`` changes the working directory if it succeeds.

        The original crashes on ``cd`` without a folder; here that is malformed.
        """
        if not command.startswith("cd"):
            return self._execute(command, self._workdir)
        _, found, target = command.partition("cd ")
        if not found:
            return Answer(MALFORMED, succeeded=False)
        folder = resolve(self._workdir, target.strip())
        answer = self._execute(f"cd {folder}", "/")
        if answer.succeeded:
            self._workdir = folder
        return answer

    def _execute(self, command: str, workdir: str) -> Answer:
        return read(lambda: self._sandbox.run(self._quoting.arguments(command), workdir=workdir))


def read(run: Callable[[], Outcome]) -> Answer:
    """The outcome of a command as the original reads it: what is no text, or cannot be cut into words, is malformed."""
    try:
        outcome = run()
        text = outcome.output.decode()
    except ValueError:
        return Answer(MALFORMED, succeeded=False)
    if outcome.excess is Excess.TIME:
        return Answer(TIMED_OUT, succeeded=False)
    if outcome.excess:
        return Answer(f"{text}\n{_KILLED[outcome.excess]}", succeeded=False)
    return Answer(text, succeeded=outcome.exit_code == 0)


def resolve(current: str, target: str) -> str:
    """The folder that ``cd target`` leads to from ``current``, by the names alone, as the original finds it."""
    if not target:
        return current
    path: list[str] = []
    for segment in f"{'' if target.startswith('/') else current}/{target}".split("/"):
        if segment == "..":
            del path[-1:]
        elif segment not in ("", "."):
            path.append(segment)
    return "/" + "/".join(path)
