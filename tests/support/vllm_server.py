"""A server with vLLM's protocol for tokens and LoRA adapters, which uses transformers on the CPU.

Its answers, errors included, are worded as those of vLLM 0.32.0.

    with vllm_server("tiny") as server:
        server.url        # the base_url; the model is named like its weights
        server.adapters   # name -> folder of the loaded adapters
        server.calls      # (path, body) of each request in the order of arrival

``python -m tests.support.vllm_server serve MODEL --port N ...`` is the same as a command, with vLLM's options.
"""

import argparse
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from leap_exp.students.weights import load_model, load_tokenizer, resolve_weights

_LOADING = threading.Lock()
"""Held while weights are loaded: transformers does not load them in two threads of a process at a time."""


class RequestError(Exception):
    """An error that the server answers."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class VllmLikeServer:
    """The server.

    Args:
        model: Name of the weights.
        name: Name of the base model; None for ``model``.
        port: 0 for a free one.
        rank: Maximum rank of adapters; None for a server without --enable-lora.
        takes_adapters: What the variable VLLM_ALLOW_RUNTIME_LORA_UPDATING sets.
        lists_adapters: Whether adapters are in its list of models.
        length: Maximum number of tokens that it reads.
        dies_once: A file that this server writes before it ends, at its third completion; if it is there, it goes on.
        dies: Whether it ends at its first completion.

    Attributes:
        is_asleep: Whether it sleeps. Then completions wait, as in vLLM, until it is woken.
        rejects: Paths that it rejects.
    """

    def __init__(
        self,
        model: str,
        *,
        name: str | None = None,
        port: int = 0,
        rank: int | None = 16,
        takes_adapters: bool = True,
        lists_adapters: bool = True,
        length: int = 1 << 20,
        dies_once: Path | None = None,
        dies: bool = False,
    ) -> None:
        self.name = name or model
        self.adapters: dict[str, str] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._source = resolve_weights(model)
        self._rank = rank
        self._takes_adapters = takes_adapters
        self._lists_adapters = lists_adapters
        self._length = length
        self._dies_once = dies_once
        self._dies = dies
        self.is_asleep = False
        self.rejects: set[str] = set()
        self._tokenizer = load_tokenizer(self._source)
        self._models = {self.name: self._base()}
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def called(self, path: str) -> list[dict[str, Any]]:
        return [body for called, body in self.calls if called == path]

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        # Over connections that are still open, threads would go on answering.
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _base(self):
        return load_model(self._source, dtype=torch.float32, device="cpu")

    def _answer(self, path: str, body: dict[str, Any]) -> object:
        if path in self.rejects:
            raise RequestError(500, "Internal Server Error")
        if path == "/v1/models":
            adapters = [
                {"id": name, "object": "model", "created": 0, "parent": self.name, "max_model_len": None}
                for name in (self.adapters if self._lists_adapters else ())
            ]
            base = {"id": self.name, "object": "model", "created": 0, "parent": None, "max_model_len": self._length}
            return {"object": "list", "data": [base, *adapters]}
        if path == "/version":
            return {"version": "0.32.0"}
        if path == "/v1/completions":
            self._die()
            return self._complete(body)
        if path in ("/sleep?level=1", "/wake_up"):
            self.is_asleep = path != "/wake_up"
            return {"status": "sleeping" if self.is_asleep else "awake"}
        if path == "/v1/load_lora_adapter" and self._takes_adapters:
            return self._load(body["lora_name"], body["lora_path"])
        if path == "/v1/unload_lora_adapter" and self._takes_adapters:
            return self._unload(body["lora_name"])
        raise RequestError(404, "Not Found")

    def _die(self) -> None:
        # Several requests may be on their way, so that none of them need be exactly the third.
        is_third = len(self.called("/v1/completions")) >= 3
        if self._dies or (is_third and self._dies_once and not self._dies_once.exists()):
            if self._dies_once:
                self._dies_once.touch()
            print("ERROR RuntimeError: Worker failed with error 'out of memory'", flush=True)
            print(" - leaked function\n" * 200, flush=True)
            os._exit(9)

    def _load(self, name: str, folder: str) -> str:
        if name in self.adapters:
            raise RequestError(
                400,
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                "'load_inplace' to True.",
            )
        if self._rank is None:
            raise RequestError(500, worker_error("LoRA is not enabled. Use --enable-lora to enable LoRA."))
        if not Path(folder, "adapter_config.json").exists():
            raise RequestError(404, f"Loading lora {name} failed: No adapter found for {folder}")
        rank = json.loads(Path(folder, "adapter_config.json").read_text())["r"]
        if rank > self._rank:
            raise RequestError(500, worker_error(f"LoRA rank {rank} is greater than max_lora_rank {self._rank}."))
        if not Path(folder, "adapter_model.safetensors").exists():
            raise RequestError(500, worker_error(f"{folder} doesn't contain tensors"))
        with _LOADING:
            self._models[name] = PeftModel.from_pretrained(self._base(), folder).eval()
        self.adapters[name] = folder
        return f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, name: str) -> str:
        if name not in self.adapters:
            raise RequestError(404, f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name], self._models[name]
        return f"Success: LoRA adapter '{name}' removed successfully."

    def _complete(self, body: dict[str, Any]) -> object:
        if body["model"] not in self._models:
            raise RequestError(404, f"The model `{body['model']}` does not exist.")
        prompt, ends = body["prompt"], [*body["stop_token_ids"], self._tokenizer.eos_token_id]
        if len(prompt) + body["max_tokens"] > self._length:
            raise RequestError(400, f"This model's maximum context length is {self._length} tokens.")
        written = self._write(self._models[body["model"]], prompt, ends, body)
        ended = bool(written) and written[-1] in ends
        text = self._tokenizer.decode(written[: len(written) - ended], skip_special_tokens=body["skip_special_tokens"])
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop" if ended else "length"}
        if body.get("return_token_ids"):
            choice |= {"token_ids": written, "prompt_token_ids": prompt}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(written)}
        return {"id": "1", "object": "text_completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}

    def _write(self, model, prompt: list[int], ends: list[int], body: dict[str, Any]) -> list[int]:
        """Unknown settings, such as guided_choice, are ignored without a word."""
        generator = torch.Generator().manual_seed(body["seed"])
        allowed = body.get("allowed_token_ids")
        written: list[int] = []
        past = None
        while len(written) < body["max_tokens"] and not (written and written[-1] in ends):
            unread = torch.tensor([prompt if past is None else written[-1:]])
            with torch.inference_mode():
                output = model(input_ids=unread, past_key_values=past, use_cache=True)
            past, logits = output.past_key_values, output.logits[0, -1]
            if allowed:
                masked = torch.full_like(logits, -torch.inf)
                masked[allowed] = logits[allowed]
                logits = masked
            if body["temperature"] > 0:
                kept = kept_tokens(logits / body["temperature"], top_p=body["top_p"], top_k=body["top_k"])
                written.append(int(torch.multinomial(kept.softmax(-1), 1, generator=generator)))
            else:
                written.append(int(logits.argmax()))
        return written

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server._connections.add(self.connection)

            def finish(self) -> None:
                server._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def do_GET(self) -> None:
                self._do({})

            def do_POST(self) -> None:
                self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _do(self, body: dict[str, Any]) -> None:
                status = 200
                while server.is_asleep and self.path == "/v1/completions":
                    time.sleep(0.02)
                with server._lock:
                    server.calls.append((self.path, body))
                    try:
                        answer = server._answer(self.path, body)
                    except RequestError as error:
                        status, answer = error.status, {"error": {"message": str(error), "code": error.status}}
                # vLLM answers the loading of an adapter with plain text.
                data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


def worker_error(message: str) -> str:
    return (
        f"Call to add_lora method failed: Worker failed with error '{message}', please check the stack trace above for "
        "the root cause"
    )


def kept_tokens(logits: torch.Tensor, *, top_p: float, top_k: int) -> torch.Tensor:
    """The logits with those outside of ``top_k`` (0 for all) and ``top_p`` at minus infinity."""
    ordered, order = logits.sort(descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    outside = before > top_p
    if top_k > 0:
        outside[top_k:] = True
    return logits.masked_fill(torch.zeros_like(outside).scatter(0, order, outside), -torch.inf)


@contextlib.contextmanager
def vllm_server(model: str, **how: Any) -> Iterator[VllmLikeServer]:
    """Run a server on a free local port while the context lasts."""
    server = VllmLikeServer(model, **how)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def main() -> None:
    """The options of ``vllm serve`` that the framework uses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("model")
    for option in ("--served-model-name", "--host", "--dtype", "--gpu-memory-utilization"):
        parser.add_argument(option, required=True)
    parser.add_argument("--max-model-len", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-lora-rank", type=int, choices=[8, 16, 32, 64, 128, 256, 320, 512], required=True)
    parser.add_argument("--enable-lora", action="store_true", required=True)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    given = parser.parse_args()
    may_load = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") == "True"
    dies_once = os.environ.get("TEST_DIES_ONCE")
    VllmLikeServer(
        given.model,
        name=given.served_model_name,
        port=given.port,
        rank=given.max_lora_rank,
        takes_adapters=may_load,
        length=given.max_model_len,
        dies=bool(os.environ.get("TEST_DIES")),
        dies_once=Path(dies_once) if dies_once else None,
    ).serve()


if __name__ == "__main__":
    main()
