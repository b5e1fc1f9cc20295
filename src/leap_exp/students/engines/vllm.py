"""The engine behind a vLLM server, which is found at its address or started here and loads a new adapter each round."""

import atexit
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from leap_exp.core import guard
from leap_exp.core.errors import ProviderError
from leap_exp.core.types import DecisionFailure
from leap_exp.llm import AdapterServer, ChatClient, ChatFailure, CompletionRequest, Endpoint
from leap_exp.runs import cache_folder, storing
from leap_exp.students.weights import weights_digest
from leap_exp.tokens.engine import Adapters, Engine, Generation, Prompt

logger = logging.getLogger(__name__)

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks that vLLM can be configured for."""
_ON_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_RUNTIME_ADAPTERS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0
_LOG_CHARACTERS = 1_500


class VllmEngine(Engine):
    """Generates through a server, which continues the very tokens that the student is trained on.

    Args:
        endpoint: The server and the name of the base model there.
        command: Starts a suitable server.
        may_start: Whether it may be used if no server answers at the address.

    Raises:
        ProviderError: No server answers, and none can be started; or it cannot load adapters.
    """

    def __init__(self, endpoint: Endpoint, *, command: Sequence[str], may_start: bool) -> None:
        self._server = VllmServer(endpoint, command=command, may_start=may_start)
        self._client = ChatClient(endpoint, place="student.endpoint", recover=self._server.recover)
        self._server.require()
        self._model = endpoint.model

    def load_adapter(self, adapters: Adapters) -> None:
        """Load the adapter into the server, under a name made from its weights.

        The name keeps cached answers of different adapters apart.

        Raises:
            ProviderError: There is no server, or it rejects the adapter.
        """
        folder = adapters[0][0] if adapters else None
        self._model = self._server.base_model if folder is None else f"leap-{weights_digest(str(folder))[:16]}"
        self._server.provide(self._model, folder)

    def generate(
        self, prompts: Sequence[Prompt], *, stop_ids: frozenset[int], max_new_tokens: int
    ) -> list[Generation | DecisionFailure]:
        """Continue each prompt on the server; a prompt without an answer becomes a failure."""
        requests = [
            CompletionRequest(
                prompt_ids=tuple(prompt.ids),
                model=self._model,
                stop_ids=tuple(sorted(stop_ids)),
                seed=prompt.seed,
                max_tokens=max_new_tokens,
            )
            for prompt in prompts
        ]
        return [
            DecisionFailure(error=result.error)
            if isinstance(result, ChatFailure)
            else Generation(text=result.text or result.refusal, is_cut_off=result.is_truncated)
            for result in self._client.complete(requests)
        ]

    def usage(self) -> Mapping[str, float]:
        """Return what was asked of the server since the last call."""
        return self._client.take_usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    """A server that was started here, under the program that ends it with this process."""

    command: Sequence[str]
    process: subprocess.Popen[bytes]
    log: Path

    def log_end(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:].strip()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_started: dict[str, _Started] = {}
"""The servers that this process has started, by address. The runs of a sweep share them."""


class VllmServer:
    """A server for the students of one run. It holds the base model and the adapter that acted last.

    A server that was started here is started again if it ends.

    Args:
        endpoint: Its address and the name of the base model.
        command: Starts a suitable server.
        may_start: Whether to use it if no server answers.
    """

    def __init__(self, endpoint: Endpoint, *, command: Sequence[str], may_start: bool) -> None:
        self.base_model = endpoint.model
        self._endpoint = endpoint
        self._place = "student.endpoint"
        self._server = AdapterServer(endpoint, place=self._place)
        self._command = command
        self._may_start = may_start and urlsplit(endpoint.base_url).hostname in _ON_THIS_MACHINE
        self._provided: tuple[str, Path | None] | None = None
        self._lock = threading.Lock()

    def require(self) -> None:
        """Check that a server answers and can load adapters, or that one can be started.

        Raises:
            ProviderError: No server answers, and none can be started; or it cannot load adapters.
        """
        started = _started.get(self._endpoint.url)
        if started is not None and started.command != self._command:
            logger.info("Ending the server at %s, which has other settings.", self._endpoint.url)
            started.end()
            del _started[self._endpoint.url]
        if self._server.models() is not None:
            self._server.check_adapters()
            return
        self._check_can_start()

    def _check_can_start(self) -> None:
        variables = " ".join(f"{name}={value}" for name, value in _RUNTIME_ADAPTERS.items())
        no_server = f"No server answers at {self._place}.base_url={self._endpoint.base_url}"
        by_hand = f"start one by hand: {variables} {shlex.join(self._command)}"
        if not self._may_start:
            raise ProviderError(f"{no_server}, and leap_exp may not start one there; {by_hand}")
        if shutil.which(self._command[0]) is None:
            raise ProviderError(
                f"{no_server}, and the command {self._command[0]} is not installed: pip install 'leap-exp[vllm]', or "
                f"{by_hand}"
            )

    def provide(self, name: str, adapter: Path | None) -> None:
        """Make the server answer requests for ``name``: ``adapter`` or, without one, the base model.

        Raises:
            ProviderError: There is no server, or it rejects the adapter.
        """
        with self._lock:
            self._start_again_if_ended()
            self._provide(name, adapter)

    def recover(self) -> None:
        """Start the server again if it was started here and has ended. Thread-safe.

        Raises:
            ProviderError: It does not start, or rejects the adapter that it had.
        """
        with self._lock:
            self._start_again_if_ended()

    def _start_again_if_ended(self) -> None:
        started = _started.get(self._endpoint.url)
        if started is None or started.process.poll() is None:
            return
        logger.warning("Starting the server again. %s", self._ending(started))
        wanted, self._provided = self._provided, None
        self._start(log_mode="ab")
        if wanted is not None:
            self._provide(*wanted)

    def _provide(self, name: str, adapter: Path | None) -> None:
        if (name, adapter) == self._provided:
            return
        models = self._server.models()
        if models is None:
            self._start(log_mode="wb")
            models = self._server.models() or []
        before = self._provided
        if before is not None and before[1] is not None and before[0] != name and not self._server.unload(before[0]):
            logger.warning("The server did not unload the adapter %s, which is no longer needed.", before[0])
        if adapter is not None and name not in models:
            self._server.load(name, adapter)
        self._provided = name, adapter

    def _start(self, *, log_mode: str) -> None:
        """Start a server that ends with this process, and wait until it answers."""
        self._check_can_start()
        log = cache_folder() / f"vllm_{urlsplit(self._endpoint.base_url).port}.log"
        logger.info("Starting %s; its log: %s", shlex.join(self._command), log)
        with storing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open(log_mode)
        with output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *self._command],
                env={**os.environ, **_RUNTIME_ADAPTERS},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # An interrupt from the terminal reaches this process only.
                start_new_session=True,
            )
        started = _started[self._endpoint.url] = _Started(command=self._command, process=process, log=log)
        atexit.register(started.end)
        while self._server.models() is None:
            if process.poll() is not None:
                del _started[self._endpoint.url]
                raise ProviderError(self._ending(started))
            time.sleep(_POLL_SECONDS)

    def _ending(self, started: _Started) -> str:
        log_end = self._server.redact(started.log_end())
        return f"The server ended with exit status {started.process.returncode} ({started.log}): {log_end}"


def serve_command(
    source: str, endpoint: Endpoint, *, dtype: str, rank: int, context_length: int, memory_share: float
) -> list[str]:
    """Return the command that serves ``source`` at the address of ``endpoint``, with adapters of up to ``rank``."""
    address = urlsplit(endpoint.base_url)
    return [
        *("vllm", "serve", source, "--served-model-name", endpoint.model),
        *("--host", str(address.hostname), "--port", str(address.port or 80)),
        *("--dtype", dtype, "--max-model-len", str(context_length)),
        *("--enable-lora", "--max-lora-rank", str(next((room for room in _RANKS if room >= rank), rank))),
        *("--gpu-memory-utilization", str(memory_share)),
    ]
