"""Runs programs in a Docker container, within limits."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence

from docker.errors import DockerException
from docker.models.containers import Container
from requests import Response
from urllib3.exceptions import HTTPError

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine.sandbox import CommandResult, Limits, Resource, Sandbox

FAILURES = (DockerException, HTTPError, OSError)
"""What the Docker SDK raises when the engine reports an error or does not answer."""

WAITING = ("/bin/bash", "-c", "while :; do read -r; done")
"""A container's first process. It waits for input that never comes, reaps zombies, and no command can kill it."""

# $@ is the program with its arguments. One pipe keeps both outputs in order, and kill ends background processes. The
# limits are in KiB and in blocks of 512 bytes.
_WRAPPER = """
exec 2>/dev/null
ulimit -c 0; ulimit -v {memory_kib}; ulimit -f {blocks}
(exec "$@" 2>&1)
code=$?
kill -9 -1
exit $code
"""
_NAME = "sandbox"
_OWN_PROCESSES = 2
"""The container's first process and the wrapper."""
_NOT_STARTED = (126, 127)
_CHECK_EVERY_SECONDS = 0.25
_GRACE_SECONDS = 60.0
"""How late the engine may answer."""


class DockerSandbox(Sandbox):
    """Runs commands in a running container, which is restarted if a command exceeds ``limits``."""

    def __init__(self, container: Container, limits: Limits) -> None:
        self._container = container
        self._api = container.client.api
        self._limits = limits
        self._written_before = self._written = 0
        wrapper = _WRAPPER.format(memory_kib=limits.memory_mib << 10, blocks=limits.disk_mib << 11)
        self._prefix = ("/bin/sh", "-c", wrapper, _NAME)

    def run(self, arguments: Sequence[str], *, workdir: str) -> CommandResult:
        """Run a program until it ends or exceeds a limit."""
        try:
            result = self._run([*self._prefix, *arguments], workdir)
            message = rf"{_NAME}: (line )?\d+: exec: {re.escape(arguments[0])}: ".encode()
            if result.exit_code in _NOT_STARTED and re.match(message, result.output):
                # Run it again without the wrapper, for Docker's own message.
                return self._run(arguments, workdir)
        except FAILURES as error:
            raise EnvError(f"A Docker sandbox failed ({error}).") from error
        return result

    def _run(self, command: Sequence[str], workdir: str) -> CommandResult:
        self._written_before = self._written
        execution = self._api.exec_create(self._container.id, list(command), workdir=workdir)["Id"]
        # The SDK's own reader loses the start of the output if it arrives together with the response header.
        response = self._api.post(
            f"{self._api.base_url}/v{self._api.api_version}/exec/{execution}/start",
            json={"Detach": False, "Tty": False},
            stream=True,
            timeout=self._limits.seconds + _GRACE_SECONDS,
        )
        response.raise_for_status()
        reader = _Reader(response, self._limits.output_bytes, stop=self._limits.kill_at_output)
        exceeded = self._watch(reader)
        if exceeded:
            self._container.restart(timeout=0)
            reader.join(_GRACE_SECONDS)
            self._written = self._size()
        elif reader.error:
            raise reader.error
        output = bytes(reader.output[: self._limits.output_bytes])
        code = None if exceeded else self._exit_code(execution)
        is_cut = len(reader.output) > self._limits.output_bytes
        return CommandResult(output=output, exit_code=code, exceeded=exceeded or (Resource.OUTPUT if is_cut else None))

    def _watch(self, reader: _Reader) -> Resource | None:
        """Wait until a command ends or exceeds a limit; returns the limit."""
        started = time.time()
        deadline = time.monotonic() + self._limits.seconds
        while True:
            reader.join(max(0.0, min(_CHECK_EVERY_SECONDS, deadline - time.monotonic())))
            ended = not reader.is_alive()
            if self._limits.kill_at_output and len(reader.output) > self._limits.output_bytes:
                return Resource.OUTPUT
            if not ended and time.monotonic() >= deadline:
                return Resource.TIME
            if not ended and self._processes() > self._limits.processes:
                return Resource.PROCESSES
            exceeded = self._disk_or_memory(started)
            if exceeded or ended:
                return exceeded

    def _disk_or_memory(self, started: float) -> Resource | None:
        """Return which of disk and memory was exceeded since ``started`` (seconds since 1970), or None."""
        self._written = self._size()
        if self._written > max(self._written_before, self._limits.disk_mib << 20):
            return Resource.DISK
        killed = self._api.events(
            since=f"{started:.6f}",
            until=f"{time.time():.6f}",
            filters={"container": self._container.id, "event": "oom"},
        )
        return Resource.MEMORY if any(killed) else None

    def _processes(self) -> int:
        return len(self._api.top(self._container.id, ps_args="-eo pid")["Processes"]) - _OWN_PROCESSES

    def _size(self) -> int:
        """Return the bytes in files that differ from the image."""
        listed = self._api.containers(filters={"id": self._container.id}, size=True)
        return int(listed[0].get("SizeRw", 0)) if listed else 0

    def _exit_code(self, execution: str) -> int:
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            code = self._api.exec_inspect(execution)["ExitCode"]
            if code is not None:
                return int(code)
            # The output can end shortly before the program.
            time.sleep(0.002)
        raise EnvError("Docker reports no exit code for a command.")


class _Reader(threading.Thread):
    """Reads the output of a command until it ends.

    Of more than ``maximum`` bytes it keeps the first ``maximum + 1``; with ``stop`` it reads no further.
    """

    def __init__(self, response: Response, maximum: int, *, stop: bool) -> None:
        super().__init__(daemon=True)
        self.output = bytearray()
        self.error: Exception | None = None
        self._response = response
        self._maximum = maximum
        self._stops_early = stop
        self.start()

    def run(self) -> None:
        try:
            with self._response:
                for part in self._parts():
                    self.output += part[: self._maximum + 1 - len(self.output)]
                    if self._stops_early and len(self.output) > self._maximum:
                        break
        except FAILURES as error:
            self.error = error

    def _parts(self) -> Iterator[bytes]:
        """Yield the output without the header of each part (which output, three zeros, the length)."""
        while len(header := self._response.raw.read(8)) == 8:
            yield self._response.raw.read(int.from_bytes(header[4:], "big"))
