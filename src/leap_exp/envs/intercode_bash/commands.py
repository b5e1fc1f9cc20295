"""Running a program of this machine, with all that it starts, under limits."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from leap_exp.envs.intercode_bash.sandbox import Excess, Limits, Outcome

_CHUNK = 1 << 16
_LOOK_EVERY_SECONDS = 0.01
_ELDEST = 6
"""Processes of a command, the oldest first, among which is the first one of its namespace."""
_ENDING_SECONDS = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


def capture(command: Sequence[str], *, limits: Limits, descriptors: Sequence[int] = ()) -> Outcome:
    """Run ``command`` with both outputs on one pipe, and kill it once it uses more than ``limits`` allow.

    The number of processes and the memory of all together are looked at every hundredth of a second, which needs no
    rights, unlike control groups, and costs nothing for the many commands that end before the first look.

    Args:
        command: Program and arguments; killing the program must end all that it started.
        limits: What it may use.
        descriptors: Open files that the program gets to see under the same numbers.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=tuple(descriptors),
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        output, excess = _read(process, process.stdout.fileno(), limits)
    finally:
        eldest = list(islice(family(process.pid), _ELDEST)) if process.poll() is None else []
        process.kill()
        code = process.wait()
        _await_end(eldest)
        if process.stdout is not None:
            process.stdout.close()
    return Outcome(output=output, exit_code=None if excess else code, excess=excess)


def _await_end(members: Sequence[int]) -> None:
    """Wait until processes that are being killed have ended.

    The first process of a namespace does so after all others in it: thousands of a fork bomb, which take the kernel a
    while and leave no room for the next command's until then.
    """
    deadline = time.monotonic() + _ENDING_SECONDS
    for member in members:
        while _is_running(member) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS / 10)


def _is_running(pid: int) -> bool:
    """Whether the process has not ended; one that nobody has asked for its exit code has."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def _read(process: subprocess.Popen[bytes], descriptor: int, limits: Limits) -> tuple[bytes, Excess | None]:
    """What the process writes until it ends, or until it has used too much of something."""
    deadline = time.monotonic() + limits.seconds
    next_look = time.monotonic() + _LOOK_EVERY_SECONDS
    output = bytearray()
    # Waiting for the process with a time-out would sleep in ever longer naps.
    process_descriptor = os.pidfd_open(process.pid)
    waiting_for = select.poll()
    waiting_for.register(descriptor, select.POLLIN)
    waiting_for.register(process_descriptor, select.POLLIN)
    waiting = {descriptor, process_descriptor}
    try:
        while waiting:
            now = time.monotonic()
            if now >= deadline:
                return bytes(output), Excess.TIME
            if now >= next_look:
                if excess := _excess(process.pid, limits):
                    return bytes(output), excess
                next_look = time.monotonic() + _LOOK_EVERY_SECONDS
            ready = {number for number, _ in waiting_for.poll(1000 * max(0.0, min(deadline, next_look) - now))}
            if descriptor in ready:
                part = os.read(descriptor, _CHUNK)
                output += part
                ready -= {descriptor} if part else set()
            for number in ready:
                waiting_for.unregister(number)
            waiting -= ready
            if len(output) > limits.output_bytes:
                return bytes(output[: limits.output_bytes]), Excess.OUTPUT
    finally:
        os.close(process_descriptor)
    return bytes(output), None


def _excess(pid: int, limits: Limits) -> Excess | None:
    """What the process ``pid`` and its descendants use too much of, if anything."""
    pages = 0
    for count, member in enumerate(family(pid), start=1):
        if count > limits.processes:
            return Excess.PROCESSES
        pages += _resident_pages(member)
    return Excess.MEMORY if pages * _PAGE > limits.memory_mib << 20 else None


def family(pid: int) -> Iterator[int]:
    """The process and its descendants; those that end meanwhile may be missing."""
    waiting = [pid]
    while waiting:
        member = waiting.pop()
        yield member
        try:
            children = Path(f"/proc/{member}/task/{member}/children").read_bytes()
            waiting += [int(child) for child in children.split()]
        except OSError:
            continue


def _resident_pages(pid: int) -> int:
    """Pages in memory that are the process's own."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_bytes().split())
    except (OSError, ValueError):
        return 0
    return resident - shared
