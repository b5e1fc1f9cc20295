"""A scripted OpenAI-compatible server with the faults of real servers.

    with fault_server([TOO_MANY, answer("hello")]) as server:
        server.url        # the base_url
        server.bodies     # the request bodies in the order of arrival

A script is a list of answers in the order of arrival, or a function from a request's body to an answer. The last answer
of a list is repeated.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/json"
LATIN = "application/json; charset=latin-1"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How the server answers a request."""

    status: int = 200
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON
    delay_seconds: float = 0.0
    cut_at: int | None = None
    """Number of bytes of the body after which the connection is closed; the headers still announce all of them."""
    drop: bool = False
    """Whether the connection is closed without any answer."""


def answer(
    text: str | None = "hello",
    *,
    finish_reason: str = "stop",
    refusal: str | None = None,
    tokens_in: int = 100,
    tokens_out: int = 10,
    logprobs: Mapping[str, Any] | None = None,
    **how: Any,
) -> Answer:
    """A valid answer; ``how`` is passed on to ``Answer``."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    data = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return Answer(body=json.dumps(data), **how)


def of_message(message: object, *, finish_reason: str = "stop", **how: Any) -> Answer:
    """An answer with this message, whatever it is; ``how`` is passed on to ``Answer``."""
    return Answer(body=json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}]}), **how)


def error(status: int, message: str = "no", *, code: str | None = None, **how: Any) -> Answer:
    """A valid error; ``how`` is passed on to ``Answer``."""
    body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}})
    return Answer(status=status, body=body, **how)


SLOW = answer(delay_seconds=1.0)
TOO_MANY = error(429, "slow down", headers={"Retry-After": "7"})
DROPPED = Answer(drop=True)
CUT_BODY = answer("x" * 200, cut_at=80)
CUT_JSON = Answer(body=answer("x" * 200).body[:80])
CUT_ANSWER = answer('{"steps": [{"action": "go t', finish_reason="length")
WRONG_LENGTH = answer('{"steps": []}')
REFUSED = answer(None, refusal="I cannot help with that.")
FILTERED = answer("", finish_reason="content_filter")
BROKEN = error(500, "oops")
BUSY = error(503, "busy")
WRONG_KEY = error(401, "Incorrect API key provided")
FORBIDDEN = error(403, "not in your country")
NO_MODEL = error(404, "no such model")
NO_CREDIT = error(429, "You exceeded your current quota", code="insufficient_quota")
TOO_LONG = error(400, "maximum context length is 8 tokens", code="context_length_exceeded")
NO_CHOICES = Answer(body=json.dumps({"choices": [], "usage": None}))
NOT_JSON = Answer(body="<html>gateway</html>", content_type="text/html")
EMPTY_BODY = Answer()

Script = Sequence[Answer] | Callable[[Mapping[str, Any]], Answer]


class FaultServer:
    """A running server and the requests that it has received."""

    def __init__(self, script: Script) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.most_at_once = 0
        self._script = script
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def follow(self, script: Script) -> None:
        """Use another script from now on and forget the requests so far."""
        with self._lock:
            self._script = script
            self.bodies.clear()
            self.headers.clear()

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextlib.contextmanager
    def _arrived(self, body: dict[str, Any], headers: Mapping[str, str]) -> Iterator[Answer]:
        with self._lock:
            place = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            script = self._script
        try:
            yield script(body) if callable(script) else script[min(place, len(script) - 1)]
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._arrived(body, {name.lower(): value for name, value in self.headers.items()}) as answer:
                    time.sleep(answer.delay_seconds)
                    # After a timeout the client has closed the connection.
                    with contextlib.suppress(OSError):
                        self._send(answer)

            def _send(self, answer: Answer) -> None:
                if answer.drop:
                    self.close_connection = True
                    return
                data = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(data)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data[: answer.cut_at])
                self.close_connection = self.close_connection or answer.cut_at is not None

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


@contextlib.contextmanager
def fault_server(script: Script) -> Iterator[FaultServer]:
    """Run a server on a free local port while the context lasts."""
    server = FaultServer(script)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
