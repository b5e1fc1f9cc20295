"""A real, local OpenAI-compatible server: ``transformers serve`` with a small model.

    with chat_server("smollm2_135m") as url:
        ...        # base_url=url, model=smollm2_135m, no key

``tiny`` (random weights) is fast and writes nonsense; ``smollm2_135m`` writes English.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from leap_exp.students.weights import TINY, load_model, load_tokenizer, resolve_weights

READY_SECONDS = 120.0


@contextlib.contextmanager
def chat_server(model: str = "smollm2_135m") -> Iterator[str]:
    """Run a server on a free port while the context lasts; yields its base URL once it is ready."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        log = Path(folder) / "server.log"
        weights = _weights(model, Path(folder) / TINY)
        command = [
            *(sys.executable, "-m", "transformers.cli.transformers", "serve", weights.name),
            *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"),
        ]
        with log.open("wb") as output:
            # Starts a new process group, so that its children can be killed too.
            process = subprocess.Popen(
                command,
                # The server names the model by the path that it gets, here the name of the folder.
                cwd=weights.parent,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _weights(model: str, folder: Path) -> Path:
    if model != TINY:
        return Path(resolve_weights(model))
    import torch

    load_model(TINY, dtype=torch.float32, device="cpu").save_pretrained(folder)
    load_tokenizer(TINY).save_pretrained(folder)
    return folder


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=5.0):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The server did not start. Its log: {log.read_text(errors='replace')[-2000:]}")
