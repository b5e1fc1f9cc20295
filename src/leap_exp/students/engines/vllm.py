"""The engine behind a vLLM server, which is found at its address or started here and loads a new adapter each round."""

import atexit
import contextlib
import ctypes
import logging
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from leap_exp.core.errors import ProviderError
from leap_exp.core.types import DecisionFailure
from leap_exp.llm import AdapterServer, ChatClient, ChatFailure, CompletionRequest, Endpoint
from leap_exp.runs import cache_folder, storing
from leap_exp.students.weights import weights_digest
from leap_exp.tokens.engine import Adapters, Engine, Prompt

logger = logging.getLogger(__name__)

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks that vLLM can be configured for."""
_ON_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_RUNTIME_ADAPTERS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0
_LOG_CHARACTERS = 1_500
_PR_SET_PDEATHSIG = 1


class VllmEngine(Engine):
    """Generates through a server, which continues the very tokens that the student is trained on.

    Args:
        endpoint: The server and the name of the base model there.
        command: Starts a suitable server.
        may_start: Whether it may be used if no server answers at the address.

    Raises:
        ProviderError: No server answers, and none can be started.
    """

    def __init__(self, endpoint: Endpoint, *, command: Sequence[str], may_start: bool) -> None:
        self._client = ChatClient(endpoint, place="student.endpoint")
        self._server = VllmServer(endpoint, command=command, may_start=may_start)
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
    ) -> list[str | DecisionFailure]:
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
            DecisionFailure(error=result.error) if isinstance(result, ChatFailure) else result.text or result.refusal
            for result in self._client.complete(requests)
        ]

    def usage(self) -> Mapping[str, float]:
        """Return what was asked of the server since the last call."""
        return self._client.take_usage()


class VllmServer:
    """A server for the students of one run. It holds the base model and the adapter that acted last.

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
        self._provided: str | None = None

    def require(self) -> None:
        """Check that a server answers or can be started.

        Raises:
            ProviderError: No server answers, and none can be started.
        """
        if self._server.models() is not None:
            return
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
        if name == self._provided:
            return
        models = self._server.models()
        if models is None:
            self._start()
            models = self._server.models() or []
        before = self._provided
        if before is not None and before != self._endpoint.model and not self._server.unload(before):
            logger.warning("The server did not unload the adapter %s, which is no longer needed.", before)
        if adapter is not None and name not in models:
            self._server.load(name, adapter)
        self._provided = name

    def _start(self) -> None:
        """Start a server that ends with this process, and wait until it answers."""
        self.require()
        log = cache_folder() / f"vllm_{urlsplit(self._endpoint.base_url).port}.log"
        logger.info("Starting %s; its log: %s", shlex.join(self._command), log)
        with storing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("wb")
        libc = ctypes.CDLL(None)
        with output:
            process = subprocess.Popen(
                self._command,
                env={**os.environ, **_RUNTIME_ADAPTERS},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The kernel ends the server even if this process is killed.
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        atexit.register(_end, process)
        while self._server.models() is None:
            if process.poll() is not None:
                output_end = log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:].strip()
                raise ProviderError(f"The server ended with exit status {process.returncode} ({log}): {output_end}")
            time.sleep(_POLL_SECONDS)


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


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and all its child processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
