"""The command ``vllm``: where it is, which version, and how it serves a student."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from leap_exp.llm import AdapterServer, Endpoint

COMMAND = "vllm"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks that vLLM can be configured for."""
_TELL_SECONDS = 30.0


def serve_command(
    source: str,
    endpoint: Endpoint,
    *,
    dtype: str,
    rank: int,
    context_length: int,
    memory_share: float,
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command that serves ``source`` at the address of ``endpoint``, with adapters of up to ``rank``."""
    address = urlsplit(endpoint.base_url)
    return [
        *(COMMAND, "serve", source, "--served-model-name", endpoint.model),
        *("--host", str(address.hostname), "--port", str(address.port or 80)),
        *("--dtype", dtype, "--max-model-len", str(context_length)),
        *("--enable-lora", "--max-lora-rank", str(next((room for room in _RANKS if room >= rank), rank))),
        *("--gpu-memory-utilization", str(memory_share)),
        *options,
    ]


def vllm_command() -> str | None:
    """Return the path of the command ``vllm``, or None: in PATH, or in the folder of this Python."""
    return shutil.which(COMMAND) or shutil.which(COMMAND, path=str(Path(sys.executable).parent))


def vllm_version(endpoint: Endpoint) -> str | None:
    """Return the version of the server at ``endpoint`` or, if none answers, of the command that would start one."""
    version = AdapterServer(endpoint).version()
    command = vllm_command()
    if version is not None or command is None:
        return version
    # The command itself takes many seconds to tell.
    python = Path(command).resolve().with_name("python")
    code = f"from importlib.metadata import version; print(version({COMMAND!r}))"
    try:
        told = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=_TELL_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None
