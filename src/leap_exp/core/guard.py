"""Runs a command, and ends it with everything that it started once the process PARENT has ended, even by SIGKILL.

    python -I -S guard.py PARENT COMMAND...

SIGTERM to this program ends the command too. It is a program of its own because vLLM ignores SIGTERM while it starts,
and its engine processes outlive its server: somebody has to wait and then kill them. It imports the standard library
only.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.2
TERM_SECONDS = 10.0
"""Time to end after SIGTERM; then all processes are killed."""
_KILL_SECONDS = 5.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def run(parent: int, command: list[str]) -> int:
    """Run ``command`` and return its exit status, as a shell would."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        # The kernel makes processes whose parent has ended children of this one.
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    process = subprocess.Popen(
        command,
        start_new_session=True,  # It may signal its own group.
        # For the case that this program is killed.
        preexec_fn=None if prctl is None else lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    while process.poll() is None and not ended and os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    _end_all(process)
    status = process.returncode
    return 128 - status if status is not None and status < 0 else status or 0


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and all descendants of this process: first with SIGTERM, then with SIGKILL."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        signalled: set[int] = set()
        while time.monotonic() < deadline:
            running = _descendants() | ({process.pid} if process.poll() is None else set())
            if not running:
                return
            for pid in running - signalled:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            signalled |= running
            time.sleep(_POLL_SECONDS / 4)
            _reap(process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Forget the children that have ended; ``process`` first, so that its exit status is kept."""
    if process.poll() is not None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _descendants() -> set[int]:
    """Return the running descendants of this process, by what the kernel lists in /proc."""
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in brackets may itself contain spaces and brackets.
            state, parent = file.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(file.parent.name))
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
