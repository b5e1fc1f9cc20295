"""Runs a program of this machine, with all processes it starts, within limits."""

import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from leap_exp.envs.intercode_bash.engine.sandbox import CommandResult, Limits, Resource

_CHUNK = 1 << 16
_CHECK_EVERY_SECONDS = 0.01
_OLDEST = 6
"""How many of a command's oldest processes to wait for. The first process of its namespace is among them."""
_ENDING_SECONDS = 10.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def capture(command: Sequence[str], *, limits: Limits, descriptors: Sequence[int] = ()) -> CommandResult:
    """Run ``command`` and kill it if it exceeds ``limits``.

    The number of processes and their total memory are checked every 10 ms. Unlike control groups, this needs no special
    rights, and it costs nothing for the many commands that end before the first check.

    Args:
        command: Program and arguments. Killing the program must end all processes it started.
        limits: The limits.
        descriptors: File descriptors that the program inherits under the same numbers.
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
        output, exceeded = _read(process, process.stdout.fileno(), limits)
    finally:
        oldest = list(islice(process_tree(process.pid), _OLDEST)) if process.poll() is None else []
        process.kill()
        code = process.wait()
        _wait_for(oldest)
        if process.stdout is not None:
            process.stdout.close()
    killed = exceeded and (exceeded is not Resource.OUTPUT or limits.kill_at_output)
    return CommandResult(output=output, exit_code=None if killed else code, exceeded=exceeded)


def _wait_for(pids: Sequence[int]) -> None:
    """Wait until processes that were killed have ended.

    The first process of a namespace ends after all others in it. With the thousands of a fork bomb that takes a while,
    and until then there may be no room for the processes of the next command.
    """
    deadline = time.monotonic() + _ENDING_SECONDS
    for pid in pids:
        while _is_running(pid) and time.monotonic() < deadline:
            time.sleep(_CHECK_EVERY_SECONDS / 10)


def _is_running(pid: int) -> bool:
    """Return whether the process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def _read(process: subprocess.Popen[bytes], descriptor: int, limits: Limits) -> tuple[bytes, Resource | None]:
    """Read the output until the process ends or exceeds a limit; returns the output and the limit."""
    deadline = time.monotonic() + limits.seconds
    next_check = time.monotonic() + _CHECK_EVERY_SECONDS
    output = bytearray()
    cut = False
    # Popen.wait with a timeout would poll at growing intervals.
    process_descriptor = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(process_descriptor, select.POLLIN)
    waiting = {descriptor, process_descriptor}
    try:
        while waiting:
            now = time.monotonic()
            if now >= deadline:
                return bytes(output), Resource.TIME
            if now >= next_check:
                if exceeded := _exceeded(process.pid, limits):
                    return bytes(output), exceeded
                next_check = time.monotonic() + _CHECK_EVERY_SECONDS
            ready = {number for number, _ in poll.poll(1000 * max(0.0, min(deadline, next_check) - now))}
            if descriptor in ready:
                part = os.read(descriptor, _CHUNK)
                output += part
                ready -= {descriptor} if part else set()
            for number in ready:
                poll.unregister(number)
            waiting -= ready
            if len(output) > limits.output_bytes:
                cut = True
                del output[limits.output_bytes :]
                if limits.kill_at_output:
                    break
    finally:
        os.close(process_descriptor)
    return bytes(output), Resource.OUTPUT if cut else None


def _exceeded(pid: int, limits: Limits) -> Resource | None:
    """Return the resource that the process and its descendants use too much of: processes, memory, or None."""
    pages = 0
    for count, member in enumerate(process_tree(pid), start=1):
        if count > limits.processes:
            return Resource.PROCESSES
        pages += _resident_pages(member)
    return Resource.MEMORY if pages * _PAGE_BYTES > limits.memory_mib << 20 else None


def process_tree(pid: int) -> Iterator[int]:
    """Yield the process and its descendants; those that end in the meantime may be missing."""
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
    """Return the number of pages in memory that the process does not share."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_bytes().split())
    except (OSError, ValueError):
        return 0
    return resident - shared
