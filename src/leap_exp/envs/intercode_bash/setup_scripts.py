"""Builds the authors' file systems: runs their set-up scripts in sandboxes, and reads what the scripts have made."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator, Sequence

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.sandbox import Excess, Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.shell import SHELL
from leap_exp.envs.intercode_bash.trees import RECORDED, Entry, FileTree

_QUOTED = 300
"""How much of what a program said is quoted when it failed."""


def run_setup(engine: SandboxEngine, name: str, script_name: str, script: bytes) -> FileTree:
    """The tree ``name`` that ``script`` makes in a sandbox, with the script itself in ``/``, where the image has it.

    Raises:
        DataError: The script failed, did not end, or made something that is neither a file nor a directory.
        EnvError: There is no sandbox to run it in.
    """
    itself = Entry(path=f"/{script_name}", mode=0o755, content=script, changed=RECORDED)
    with engine.open(FileTree(name=name, entries=(itself,))) as sandbox:
        before = _names(sandbox)
        started = int(time.time())
        _run(sandbox, [SHELL, itself.path], f"The set-up script {script_name}")
        entries = [itself, *_read_back(sandbox, sorted(_names(sandbox) - before), started)]
    return FileTree(name=name, entries=tuple(sorted(entries, key=lambda entry: entry.path)), made=RECORDED)


def _run(sandbox: Sandbox, command: Sequence[str], what: str) -> bytes:
    """What ``command`` prints; ``what`` names it should it fail."""
    outcome = sandbox.run(command, workdir="/")
    if outcome.exit_code == 0:
        return outcome.output
    said = outcome.output.decode(errors="replace").strip()[-_QUOTED:] or "nothing"
    if outcome.excess is Excess.TIME:
        raise DataError(f"{what} did not end. It said: {said}")
    failure = f"used too much of this: {outcome.excess}" if outcome.excess else f"failed ({outcome.exit_code})"
    raise DataError(f"{what} {failure}. It said: {said}")


def _names(sandbox: Sandbox) -> set[str]:
    """What lies in ``/``."""
    return set(os.fsdecode(_run(sandbox, ["ls", "-A", "/"], "ls")).splitlines())


def _read_back(sandbox: Sandbox, names: Sequence[str], started: int) -> Iterator[Entry]:
    """All that lies below ``names`` in ``/``; a time from before the script was set on purpose."""
    if not names:
        return
    packed = _run(sandbox, ["tar", "--create", "--file=-", *(f"./{name}" for name in names)], "tar")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            path = member.name.removeprefix(".")
            if not (member.isdir() or member.isreg() or member.islnk()):
                raise DataError(f"A set-up script made {path}, which is neither a file nor a directory.")
            file = archive.extractfile(member)
            yield Entry(
                path=path,
                mode=member.mode,
                content=file.read() if file else None,
                changed=float(member.mtime) if member.mtime < started else RECORDED,
            )
