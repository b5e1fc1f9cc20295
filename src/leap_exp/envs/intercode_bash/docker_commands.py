"""Running a program in a container, with all that it starts, under limits."""

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
from leap_exp.envs.intercode_bash.sandbox import Excess, Limits, Outcome

FAILURES = (DockerException, HTTPError, OSError)
"""What the SDK raises when the engine refuses or does not answer."""

WAITING = ("/bin/bash", "-c", "while :; do read -r; done")
"""A container's first process, whose input never comes: it reaps what has ended, and nothing in it can kill it."""

# $@ program and arguments. One pipe keeps both outputs in order, and what is left in the background ends. Limits are in
# KiB and in blocks of 512 bytes.
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
_LOOK_EVERY_SECONDS = 0.25
_PATIENCE_SECONDS = 60.0
"""How much later than it should the engine may answer."""


class Commands:
    """Runs commands in one running container, which is killed and started again if one exceeds ``limits``."""

    def __init__(self, container: Container, limits: Limits) -> None:
        self._container = container
        self._api = container.client.api
        self._limits = limits
        self._written_before = self._written = 0
        wrapper = _WRAPPER.format(memory_kib=limits.memory_mib << 10, blocks=limits.disk_mib << 11)
        self._prefix = ("/bin/sh", "-c", wrapper, _NAME)

    def run(self, arguments: Sequence[str], *, workdir: str) -> Outcome:
        """Run a program to its end; what it leaves in the background is ended with it."""
        try:
            outcome = self._run([*self._prefix, *arguments], workdir)
            said = rf"{_NAME}: (line )?\d+: exec: {re.escape(arguments[0])}: ".encode()
            if outcome.exit_code in _NOT_STARTED and re.match(said, outcome.output):
                # Docker is to say it in its own words.
                return self._run(arguments, workdir)
        except FAILURES as error:
            raise EnvError(f"Docker's sandbox broke ({error}).") from error
        return outcome

    def _run(self, command: Sequence[str], workdir: str) -> Outcome:
        self._written_before = self._written
        execution = self._api.exec_create(self._container.id, list(command), workdir=workdir)["Id"]
        # The SDK's own way to read the output loses its beginning if that comes together with the answer's header.
        response = self._api.post(
            f"{self._api.base_url}/v{self._api.api_version}/exec/{execution}/start",
            json={"Detach": False, "Tty": False},
            stream=True,
            timeout=self._limits.seconds + _PATIENCE_SECONDS,
        )
        response.raise_for_status()
        reader = _Reader(response, self._limits.output_bytes)
        excess = self._watch(reader)
        if excess:
            self._container.restart(timeout=0)
            reader.join(_PATIENCE_SECONDS)
            self._written = self._size()
        elif reader.error:
            raise reader.error
        output = bytes(reader.output[: self._limits.output_bytes])
        return Outcome(output=output, exit_code=None if excess else self._exit_code(execution), excess=excess)

    def _watch(self, reader: _Reader) -> Excess | None:
        """Wait for the end of a command, or until it has used too much of something."""
        began = time.time()
        deadline = time.monotonic() + self._limits.seconds
        while True:
            reader.join(max(0.0, min(_LOOK_EVERY_SECONDS, deadline - time.monotonic())))
            ended = not reader.is_alive()
            if len(reader.output) > self._limits.output_bytes:
                return Excess.OUTPUT
            if not ended and time.monotonic() >= deadline:
                return Excess.TIME
            if not ended and self._processes() > self._limits.processes:
                return Excess.PROCESSES
            excess = self._excess(began)
            if excess or ended:
                return excess

    def _excess(self, began: float) -> Excess | None:
        """What has been used too much of since ``began`` (seconds since 1970), beside time and processes."""
        self._written = self._size()
        if self._written > max(self._written_before, self._limits.disk_mib << 20):
            return Excess.DISK
        killed = self._api.events(
            since=f"{began:.6f}",
            until=f"{time.time():.6f}",
            filters={"container": self._container.id, "event": "oom"},
        )
        return Excess.MEMORY if any(killed) else None

    def _processes(self) -> int:
        return len(self._api.top(self._container.id, ps_args="-eo pid")["Processes"]) - _OWN_PROCESSES

    def _size(self) -> int:
        """Bytes in files that differ from the image's."""
        listed = self._api.containers(filters={"id": self._container.id}, size=True)
        return int(listed[0].get("SizeRw", 0)) if listed else 0

    def _exit_code(self, execution: str) -> int:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            code = self._api.exec_inspect(execution)["ExitCode"]
            if code is not None:
                return int(code)
            # The output can end a moment before the program.
            time.sleep(0.002)
        raise EnvError("Docker does not say how a command ended.")


class _Reader(threading.Thread):
    """Reads what a command writes to its end, or to a little more than ``most`` bytes."""

    def __init__(self, response: Response, most: int) -> None:
        super().__init__(daemon=True)
        self.output = bytearray()
        self.error: Exception | None = None
        self._response = response
        self._most = most
        self.start()

    def run(self) -> None:
        try:
            with self._response:
                for part in self._parts():
                    self.output += part
                    if len(self.output) > self._most:
                        break
        except FAILURES as error:
            self.error = error

    def _parts(self) -> Iterator[bytes]:
        """What was written, without the header of each part: which output, three zeros, and the length."""
        while len(header := self._response.raw.read(8)) == 8:
            yield self._response.raw.read(int.from_bytes(header[4:], "big"))
