"""The vLLM server of a student: found at its address or started here, watched, put to sleep and started again."""

import atexit
import logging
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch

from leap_exp.core.errors import ProviderError
from leap_exp.llm import AdapterServer, Endpoint
from leap_exp.llm.server import TransientError, UnknownModelError
from leap_exp.runs import cache_folder, storing
from leap_exp.students.engines import guard
from leap_exp.students.serving import COMMAND, vllm_command

logger = logging.getLogger(__name__)

START_SECONDS = 1_800.0
"""A server that does not answer after this time is given up. Large models take minutes to load."""

_ON_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_RUNTIME_ADAPTERS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
_SLEEP_MODE = "--enable-sleep-mode"
_SLEEP_REQUESTS = {"VLLM_SERVER_DEV_MODE": "1"}
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0
_LOG_CHARACTERS = 1_500
_ERRORS_SHOWN = 5
_ERROR = re.compile(r"\b[A-Z][A-Za-z]*(?:Error|Exception)\b: .{1,300}")
_MAX_RESTARTS = 3
"""After so many restarts with one adapter, the server is given up: it ends because of what it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a student needs of a server.

    Attributes:
        command: Starts a suitable server, on this machine.
        may_start: Whether to use it if no server answers.
        rank: Maximum rank of the student's adapters.
        context_length: Maximum number of tokens of prompt and response.
        sleeps: Whether a server started here sleeps while the student is trained. Only those on accelerators can.
    """

    command: Sequence[str]
    may_start: bool
    rank: int
    context_length: int
    sleeps: bool


@dataclass(slots=True, kw_only=True)
class _Started:
    """A server that was started here, under the program that ends it with this process."""

    command: Sequence[str]
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int
    is_asleep: bool = False

    def problem(self) -> str:
        """Return the errors that this server has written to its log or, if there are none, the end of the log."""
        text = self.log.read_bytes()[self.log_start :].decode(errors="replace")
        errors = dict.fromkeys(found.group() for found in _ERROR.finditer(text))
        return " | ".join(list(errors)[-_ERRORS_SHOWN:]) or text[-_LOG_CHARACTERS:].strip()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_started: dict[str, _Started] = {}
"""The servers that this process has started, by address. The runs of a sweep share them."""


def end_servers() -> None:
    """End all servers that this process has started."""
    while _started:
        _started.popitem()[1].end()


atexit.register(end_servers)


class VllmServer:
    """A server for the students of one run. It holds the base model and the adapter that acted last.

    A server that was started here is started again if it ends. From any other server, the adapter is unloaded when this
    object is no longer used.

    Args:
        endpoint: Its address and the name of the base model.
        serving: What it must offer.
    """

    def __init__(self, endpoint: Endpoint, serving: Serving) -> None:
        self.base_model = endpoint.model
        self._endpoint = endpoint
        self._place = "student.endpoint"
        self._server = AdapterServer(endpoint, place=self._place)
        self._serving = serving
        self._may_start = serving.may_start and urlsplit(endpoint.base_url).hostname in _ON_THIS_MACHINE
        self._provided: tuple[str, Path | None] | None = None
        self._loaded: list[str] = []
        self._restarts = 0
        self._lock = threading.Lock()
        weakref.finalize(self, _unload_all, self._server, self._loaded, endpoint.url)

    def require(self) -> None:
        """Check that a suitable server answers, or that one can be started.

        Raises:
            ProviderError: No server answers, and none can be started; or it is not suitable.
        """
        started = _started.get(self._endpoint.url)
        if started is not None and started.command != self._serving.command:
            logger.info("Ending the server at %s, which has other settings.", self._endpoint.url)
            self._end(started)
        self._wake()
        models = self._server.models()
        if models is None:
            self._check_can_start()
            return
        self._check_length(models)
        self._server.check_adapters(rank=self._serving.rank)

    def provide(self, name: str, adapter: Path | None) -> None:
        """Make the server answer requests for ``name``: ``adapter`` or, without one, the base model.

        Raises:
            ProviderError: There is no server, or it rejects the adapter.
        """
        with self._lock:
            if (name, adapter) != self._provided:
                self._restarts = 0
            self._start_again_if_ended()
            self._wake()
            self._provide(name, adapter)

    def recover(self, error: TransientError) -> None:
        """Start the server again if it was started here and has ended, or load the adapter again if it is lost.

        The adapter is lost if somebody has started their own server again, or unloaded the adapter. Thread-safe.

        Args:
            error: Why a request was not answered.

        Raises:
            ProviderError: It does not start, or rejects the adapter that it had.
        """
        with self._lock:
            is_lost = isinstance(error, UnknownModelError)
            if self._start_again_if_ended() or not is_lost or self._provided is None:
                return
            name, adapter = self._provided
            models = self._server.models()
            if adapter is not None and models is not None and name not in models:
                logger.warning("The server at %s has lost the adapter %s. Loading it again.", self._endpoint.url, name)
                self._load(name, adapter)

    def sleep(self) -> None:
        """Free the accelerator's memory, if the server was started here and is on one, until ``provide`` is called.

        A server that does not fall asleep is ended, which frees the memory too. A server on processors stays as it is:
        it cannot sleep, and uses no time while nothing is asked. So does one that was not started here, because others
        may use it.
        """
        with self._lock:
            started = _started.get(self._endpoint.url)
            if started is None or not self._serving.sleeps or started.is_asleep or started.process.poll() is not None:
                return
            started.is_asleep = self._server.sleep()
            if not started.is_asleep:
                logger.warning("The server at %s does not fall asleep and is ended.", self._endpoint.url)
                self._end(started)

    def _wake(self) -> None:
        started = _started.get(self._endpoint.url)
        if started is None or not started.is_asleep:
            return
        started.is_asleep = False
        # What this process keeps for later, the server needs now.
        torch.cuda.empty_cache()
        if not self._server.wake_up():
            logger.warning("The server at %s does not wake up and is started again.", self._endpoint.url)
            self._end(started)

    def _end(self, started: _Started) -> None:
        """End a server that was started here. The next ``provide`` starts one."""
        started.end()
        del _started[self._endpoint.url]
        self._provided = None
        self._loaded.clear()

    def _check_length(self, models: Mapping[str, int | None]) -> None:
        length, needed = models.get(self.base_model), self._serving.context_length
        if length is not None and length < needed:
            raise ProviderError(
                f"The server at {self._endpoint.base_url} reads at most {length} tokens (max_model_len), less than "
                f"student.context_length={needed}: serve with --max-model-len {needed}, or set "
                f"student.context_length={length}."
            )

    def _check_can_start(self) -> None:
        variables = " ".join(f"{name}={value}" for name, value in _RUNTIME_ADAPTERS.items())
        no_server = f"No server answers at {self._place}.base_url={self._endpoint.base_url}"
        by_hand = f"start one by hand: {variables} {shlex.join(self._serving.command)}"
        if not self._may_start:
            raise ProviderError(f"{no_server}, and leap_exp may not start one there; {by_hand}")
        if vllm_command() is None:
            raise ProviderError(
                f"{no_server}, and the command {COMMAND} is not installed: pip install 'leap-exp[vllm]', or {by_hand}"
            )

    def _start_again_if_ended(self) -> bool:
        """Start the server again if it was started here and has ended; return whether it had."""
        started = _started.get(self._endpoint.url)
        if started is None or started.process.poll() is None:
            return False
        if self._restarts == _MAX_RESTARTS:
            del _started[self._endpoint.url]
            raise ProviderError(f"The server has ended {_MAX_RESTARTS + 1} times. {self._ending(started)}")
        self._restarts += 1
        logger.warning("Starting the server again. %s", self._ending(started))
        wanted, self._provided = self._provided, None
        self._loaded.clear()
        self._start(log_mode="ab")
        if wanted is not None:
            self._provide(*wanted)
        return True

    def _provide(self, name: str, adapter: Path | None) -> None:
        if (name, adapter) == self._provided:
            return
        models = self._server.models()
        if models is None:
            models = self._start(log_mode="wb")
        for other in [loaded for loaded in self._loaded if loaded != name]:
            self._loaded.remove(other)
            if not self._server.unload(other):
                logger.warning("The server did not unload the adapter %s, which is no longer needed.", other)
        if adapter is not None and name not in models:
            self._load(name, adapter)
        self._provided = name, adapter

    def _load(self, name: str, adapter: Path) -> None:
        self._server.load(name, adapter)
        if name not in self._loaded:
            self._loaded.append(name)

    def _start(self, *, log_mode: str) -> Mapping[str, int | None]:
        """Start a server that ends with this process, wait until it answers, and return its models."""
        self._check_can_start()
        serving = self._serving
        log = cache_folder() / f"vllm_{urlsplit(self._endpoint.base_url).port}.log"
        logger.info("Starting %s; its log: %s", shlex.join(serving.command), log)
        command = [str(vllm_command()), *serving.command[1:], *([_SLEEP_MODE] if serving.sleeps else [])]
        with storing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open(log_mode)
        with output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *command],
                env={**os.environ, **_RUNTIME_ADAPTERS, **(_SLEEP_REQUESTS if serving.sleeps else {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # An interrupt from the terminal reaches this process only.
                start_new_session=True,
            )
            started = _Started(command=serving.command, process=process, log=log, log_start=output.tell())
        _started[self._endpoint.url] = started
        deadline = time.monotonic() + START_SECONDS
        while (models := self._server.models()) is None:
            if process.poll() is not None:
                del _started[self._endpoint.url]
                raise ProviderError(self._ending(started))
            if time.monotonic() > deadline:
                self._end(started)
                raise ProviderError(
                    f"The server did not answer within {START_SECONDS:g} s ({log}): {self._problem(started)}"
                )
            time.sleep(_POLL_SECONDS)
        self._check_length(models)
        return models

    def _ending(self, started: _Started) -> str:
        return (
            f"The server ended with exit status {started.process.returncode} ({started.log}): {self._problem(started)}"
        )

    def _problem(self, started: _Started) -> str:
        return self._server.redact(started.problem())


def _unload_all(server: AdapterServer, loaded: Sequence[str], url: str) -> None:
    """Unload the adapters that a run has left on a server, unless the server was started here and ends too."""
    if url not in _started:
        for name in loaded:
            server.unload(name)
