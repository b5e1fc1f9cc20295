"""The shell, as the original offers it: a new shell for every command, and a working directory that persists."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from leap_exp.envs.intercode_bash.engine.sandbox import CommandResult, Resource, Sandbox

SHELL = "/bin/bash"
TIMED_OUT, MALFORMED = "Command timed out", "Malformed command"
_KILLED = {
    Resource.MEMORY: "Killed: it used too much memory.",
    Resource.PROCESSES: "Killed: it started too many processes.",
    Resource.DISK: "Killed: it filled the disk.",
    Resource.OUTPUT: "Killed: it wrote too much.",
}


class Quoting(StrEnum):
    """How a command reaches the shell."""

    ORIGINAL = "original"
    """The command is put between double quotes, and the line is split into words as a shell does. Double quotes in the
    command therefore end it, and backslashes before them are lost."""
    EXACT = "exact"
    """The command is passed unchanged."""

    def arguments(self, command: str) -> Sequence[str]:
        """Return the program and arguments that run ``command``.

        Raises:
            ValueError: A quote in ``command`` is not closed.
        """
        if self is Quoting.EXACT:
            return [SHELL, "-c", command.strip()]
        return shlex.split(f'{SHELL} -c "{command.strip()}"')


@dataclass(frozen=True, slots=True)
class ShellOutput:
    """The output of a command as text, and whether the command succeeded."""

    text: str
    succeeded: bool


class Shell:
    """Runs commands one after the other, as ``exec_action`` in the original's ``bash_env.py`` does."""

    def __init__(self, sandbox: Sandbox, quoting: Quoting) -> None:
        self._sandbox = sandbox
        self._quoting = quoting
        self._workdir = "/"

    def run(self, command: str) -> ShellOutput:
        """Run ``command``; one that starts with ``cd`` changes the working directory if it succeeds.

        The original crashes on ``cd`` without a folder; here that is a malformed command.
        """
        if not command.startswith("cd"):
            return self._execute(command, self._workdir)
        _, found, target = command.partition("cd ")
        if not found:
            return ShellOutput(MALFORMED, succeeded=False)
        folder = resolve(self._workdir, target.strip())
        output = self._execute(f"cd {folder}", "/")
        if output.succeeded:
            self._workdir = folder
        return output

    def _execute(self, command: str, workdir: str) -> ShellOutput:
        return read_output(lambda: self._sandbox.run(self._quoting.arguments(command), workdir=workdir))


def read_output(run: Callable[[], CommandResult]) -> ShellOutput:
    """Call ``run`` and return its output as the original reads it.

    A command with an unclosed quote, and output that is not UTF-8, give ``MALFORMED``.
    """
    try:
        result = run()
        text = result.output.decode()
    except ValueError:
        return ShellOutput(MALFORMED, succeeded=False)
    if result.exceeded is Resource.TIME:
        return ShellOutput(TIMED_OUT, succeeded=False)
    if result.exceeded:
        return ShellOutput(f"{text}\n{_KILLED[result.exceeded]}", succeeded=False)
    return ShellOutput(text, succeeded=result.exit_code == 0)


def resolve(current: str, target: str) -> str:
    """Return the folder that ``cd target`` leads to from ``current``; like the original, it ignores symbolic links."""
    if not target:
        return current
    path: list[str] = []
    for segment in f"{'' if target.startswith('/') else current}/{target}".split("/"):
        if segment == "..":
            del path[-1:]
        elif segment not in ("", "."):
            path.append(segment)
    return "/" + "/".join(path)
