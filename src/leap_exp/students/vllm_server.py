"""The vLLM server that a student acts through: found at its address or started there, and given adapters."""

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
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from leap_exp.core.errors import ProviderError
from leap_exp.llm import AdapterServer, Endpoint
from leap_exp.store import cache_folder, storing

logger = logging.getLogger(__name__)

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM can be told to make room for."""
_ON_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_RUNTIME_ADAPTERS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0
_LOG_CHARACTERS = 1_500
_PR_SET_PDEATHSIG = 1


class VllmServer:
    """One server for the students of a run; it holds the base model and the adapter of the one that acted last."""

    def __init__(self, endpoint: Endpoint, *, command: Sequence[str], may_start: bool) -> None:
        """``command`` is what starts a server that suits; it is used only if ``may_start``."""
        self._endpoint = endpoint
        self._server = AdapterServer(endpoint)
        self._command = command
        self._may_start = may_start and urlsplit(endpoint.base_url).hostname in _ON_THIS_MACHINE
        self._provided: str | None = None

    def require(self) -> None:
        """Find out whether there is a server, or can be.

        Raises:
            ProviderError: none answers, and none may or can be started.
        """
        if self._server.models() is not None:
            return
        variables = " ".join(f"{name}={value}" for name, value in _RUNTIME_ADAPTERS.items())
        nobody = f"No server answers at {self._endpoint.setting}.base_url={self._endpoint.base_url}"
        by_hand = f"start one by hand: {variables} {shlex.join(self._command)}"
        if not self._may_start:
            raise ProviderError(f"{nobody}, and none is to be started from here; {by_hand}")
        if shutil.which(self._command[0]) is None:
            raise ProviderError(
                f"{nobody}, and there is no command {self._command[0]} to start one: pip install 'leap-exp[vllm]', or "
                f"{by_hand}"
            )

    def provide(self, name: str, adapter: Path | None) -> None:
        """See to it that the server can be asked for ``name``, which is ``adapter`` or, without one, the base model.

        Raises:
            ProviderError: there is no server, or it does not take the adapter.
        """
        if name == self._provided:
            return
        models = self._server.models()
        if models is None:
            self._start()
            models = self._server.models() or []
        before = self._provided
        if before is not None and before != self._endpoint.model and not self._server.unload(before):
            logger.warning("The server keeps the adapter %s, which is not needed any more.", before)
        if adapter is not None and name not in models:
            self._server.load(name, adapter)
        self._provided = name

    def _start(self) -> None:
        """Start a server that ends with this process, and wait until it is ready."""
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
                # It is told to end even when this process is killed and has no time to see to it.
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        atexit.register(_end, process)
        while self._server.models() is None:
            if process.poll() is not None:
                said = log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:].strip()
                raise ProviderError(f"The server ended with exit status {process.returncode} ({log}): {said}")
            time.sleep(_POLL_SECONDS)


def serve_command(
    source: str, endpoint: Endpoint, *, dtype: str, rank: int, context_length: int, memory_share: float
) -> list[str]:
    """What starts a server of the model ``source`` at the address of ``endpoint``, for adapters of up to ``rank``."""
    address = urlsplit(endpoint.base_url)
    return [
        *("vllm", "serve", source, "--served-model-name", endpoint.model),
        *("--host", str(address.hostname), "--port", str(address.port or 80)),
        *("--dtype", dtype, "--max-model-len", str(context_length)),
        *("--enable-lora", "--max-lora-rank", str(next((room for room in _RANKS if room >= rank), rank))),
        *("--gpu-memory-utilization", str(memory_share)),
    ]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
