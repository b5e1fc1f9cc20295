"""The shell, as the original offers it: a new shell for every command, and a working directory that persists."""

import codecs
import errno
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
_CUT = "[The rest of the output is left out.]"

_NOT_STARTED = 126
_MAY_MOVE = re.compile(r"\b(cd|pushd|popd)\b")
_REPORT_START = b"\0folder\0"
_REPORT_FOLDER = """exec {leap}>&1; trap '{ printf "\\0folder\\0"; pwd -P; printf "\\0"; } >&$leap 2>/dev/null' EXIT
"""
"""Makes a shell report the folder in which it ends, even if the command redirects its output or exits early."""


class Quoting(StrEnum):
    """How a command reaches the shell."""

    ORIGINAL = "original"
    """The command is put between double quotes, and the line is split into words as a shell does. Double quotes in the
    command therefore end it, and backslashes before them are lost."""
    EXACT = "exact"
    """The command is passed unchanged, and the working directory is the one in which its shell ends."""

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
    """Runs commands one after the other, each in a new shell, and keeps the working directory.

    With the original's quoting it does what ``exec_action`` in the original's ``bash_env.py`` does: all of what follows
    ``cd`` is a folder, so that ``cd desk && ls`` leads to a folder of that name. With exact quoting a command goes on
    in the folder in which the shell of the last one ended.
    """

    def __init__(self, sandbox: Sandbox, quoting: Quoting) -> None:
        self._sandbox = sandbox
        self._quoting = quoting
        self._workdir = "/"

    @property
    def workdir(self) -> str:
        """The working directory of the next command."""
        return self._workdir

    def run(self, command: str) -> ShellOutput:
        """Run ``command``."""
        return self._run_exactly(command) if self._quoting is Quoting.EXACT else self._run_as_original(command)

    def _run_as_original(self, command: str) -> ShellOutput:
        """Run ``command``; the original crashes on ``cd`` without a folder, which is a malformed command here."""
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

    def _run_exactly(self, command: str) -> ShellOutput:
        arguments = self._quoting.arguments(command)
        if _MAY_MOVE.search(command):
            arguments = [*arguments[:-1], _REPORT_FOLDER + arguments[-1]]
        try:
            result = self._start(arguments, self._workdir)
        except ValueError:
            return ShellOutput(MALFORMED, succeeded=False)
        if result.exit_code == _NOT_STARTED and b"chdir to cwd" in result.output:
            # The folder was removed, so there is no shell that could leave it.
            self._workdir = "/"
        result, folder = _reported_folder(result)
        self._workdir = folder or self._workdir
        return read_output(lambda: result, self._quoting)

    def _execute(self, command: str, workdir: str) -> ShellOutput:
        return read_output(lambda: self._start(self._quoting.arguments(command), workdir), self._quoting)

    def _start(self, arguments: Sequence[str], workdir: str) -> CommandResult:
        """Run a program; raises ValueError if an argument has a null character or is too long."""
        try:
            return self._sandbox.run(arguments, workdir=workdir)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise ValueError("an argument is too long") from error


def _reported_folder(result: CommandResult) -> tuple[CommandResult, str]:
    """Return ``result`` without the shell's report, and the folder that it reports; empty if there is no report."""
    before, found, rest = result.output.rpartition(_REPORT_START)
    folder, _, after = rest.partition(b"\0")
    if not found:
        return result, ""
    return replace(result, output=before + after), folder.removesuffix(b"\n").decode(errors="ignore")


def read_output(run: Callable[[], CommandResult], quoting: Quoting) -> ShellOutput:
    """Call ``run`` and return its output, with a note if the command was killed or its output cut.

    As in the original, a command with an unclosed quote gives ``MALFORMED``, one that takes too long ``TIMED_OUT``.
    """
    try:
        result = run()
        if result.exceeded is Resource.TIME:
            return ShellOutput(TIMED_OUT, succeeded=False)
        text = decoded(result, quoting)
    except ValueError:
        return ShellOutput(MALFORMED, succeeded=False)
    if result.exceeded:
        note = _KILLED[result.exceeded] if result.exit_code is None else _CUT
        text = f"{text}\n{note}"
    return ShellOutput(text, succeeded=result.exit_code == 0)


def decoded(result: CommandResult, quoting: Quoting) -> str:
    """Return the output as text. With exact quoting, what is not UTF-8 becomes replacement marks.

    Raises:
        ValueError: The output is not UTF-8, and quoting is the original's.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict" if quoting is Quoting.ORIGINAL else "replace")
    # A cut may go through a character.
    return decoder.decode(result.output, final=result.exceeded is None)


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
