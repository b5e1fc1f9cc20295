"""One exchange with an OpenAI-compatible server: the request body, and what the answer or error means."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from leap_exp.core.errors import ProviderError
from leap_exp.core.seeding import derive_seed
from leap_exp.core.text import map_texts, valid_text
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.messages import ChatReply, ChatRequest, CompletionRequest, ModelRequest
from leap_exp.llm.replies import read_reply
from leap_exp.llm.secret import Redactor

if TYPE_CHECKING:
    # Importing it takes half a second, so it is imported where it is used.
    import openai

T = TypeVar("T")

_TRANSIENT_STATUS = (408, 409, 425, 429)
_KEY_REFUSED = (401, 403)
_NO_CREDIT, _NOT_FOUND, _SERVER_ERROR = 402, 404, 500
_MAX_SHOWN = 300
_RETRY_TEMPERATURE = 0.7
"""Minimum temperature of a later attempt: at 0 a model would repeat its first answer."""
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


class TransientError(Exception):
    """A try failed for a reason that may pass; ``wait_seconds`` is the wait that the server requested, if any."""

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class SlowAnswerError(TransientError):
    """There was no answer in time."""


class UnknownModelError(TransientError):
    """The server does not have the adapter that a request names. It may have been started again."""


class RejectedError(Exception):
    """The server rejects this request, and would reject it again."""


class _NotFoundError(ProviderError):
    """The server has no such address or model."""


class Server:
    """The server of an endpoint. No part of the API key leaves this class except in the header of requests.

    Args:
        endpoint: The server's address and settings.
        place: Where these settings are in the configuration, for messages.

    Attributes:
        redact: Removes parts of the key from a text.

    Raises:
        ProviderError: The key, or another environment variable for connections, cannot be used.
    """

    def __init__(self, endpoint: Endpoint, *, place: str = Endpoint.place) -> None:
        self._endpoint = endpoint
        self._place = place
        key = endpoint.key(place)
        self.redact = Redactor(key)
        self._client = self._connect(key)
        self.redact.hide_in_logs()

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the body to send for ``request``."""
        endpoint = self._endpoint
        body = self._completion_body(request) if isinstance(request, CompletionRequest) else self._chat_body(request)
        temperature = endpoint.temperature if request.temperature is None else request.temperature
        if temperature is not None:
            body["temperature"] = max(temperature, _RETRY_TEMPERATURE) if request.attempt else temperature
        if endpoint.send_seed:
            # Servers accept seeds of different lengths; 31 bits work everywhere.
            body["seed"] = derive_seed(request.seed, "attempt", request.attempt) >> 32
        return body

    def _chat_body(self, request: ChatRequest) -> dict[str, Any]:
        endpoint = self._endpoint
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [{"role": message.role, "content": valid_text(message.text)} for message in request.messages],
            endpoint.max_tokens_name: request.max_tokens or endpoint.max_tokens,
        }
        if request.schema is not None and endpoint.structured_output != "no":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    def _completion_body(self, request: CompletionRequest) -> dict[str, Any]:
        # vLLM would apply a repetition penalty from the model's files and drop special tokens, such as those around a
        # thought.
        extra: dict[str, Any] = {
            "stop_token_ids": list(request.stop_ids),
            "repetition_penalty": 1.0,
            "skip_special_tokens": False,
        }
        if request.allowed_ids:
            extra |= {"allowed_token_ids": list(request.allowed_ids), "return_token_ids": True}
        if request.top_k is not None:
            extra["top_k"] = request.top_k
        body = {
            "model": request.model or self._endpoint.model,
            "prompt": list(request.prompt_ids),
            "max_tokens": request.max_tokens or self._endpoint.max_tokens,
            "extra_body": extra,
        }
        return body if request.top_p is None else {**body, "top_p": request.top_p}

    def ask(self, request: ModelRequest, body: Mapping[str, Any]) -> ChatReply:
        """Send ``body``, which was made from ``request``, and return the server's answer.

        Raises:
            TransientError: There is no answer, or none that can be read, for a reason that may pass.
            RejectedError: The server rejects this request.
            ProviderError: The server rejects every request: the key, model or address is wrong.
        """
        start = time.monotonic()
        is_completion = isinstance(request, CompletionRequest)
        resource = self._client.completions if is_completion else self._client.chat.completions
        try:
            text = self._exchange(lambda: resource.with_raw_response.create(**body).text)
        except _NotFoundError as error:
            if body["model"] == self._endpoint.model:
                raise
            raise UnknownModelError(str(error)) from error
        latency = time.monotonic() - start
        return self._read(text, lambda: read_reply(request, text, redact=self.redact, latency=latency))

    def _exchange(self, send: Callable[[], T]) -> T:
        """Return the result of ``send``; raises the same errors as ``ask``."""
        try:
            return send()
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this try only
            failure = self._failure(error)
        # Raised outside of the except clause, because the library's error, as its cause, could show the key.
        raise failure

    def _read(self, text: str, read: Callable[[], T]) -> T:
        """Return the result of ``read``, which reads ``text``; raises TransientError if it raises ValueError."""
        try:
            return read()
        except (ValueError, RecursionError) as error:
            reason = self._shown(str(error)).rstrip(".")
        # As in _exchange: JSONDecodeError holds the text.
        raise TransientError(
            f"{self._endpoint.name} sent an answer that cannot be read ({reason}): {self._shown(text) or 'nothing'}"
        )

    def _failure(self, error: Exception) -> Exception:
        """Return the error of this module that describes ``error``."""
        import openai

        endpoint = self._endpoint
        if isinstance(error, openai.APITimeoutError):
            return SlowAnswerError(f"{endpoint.name} did not answer within {endpoint.timeout_seconds:g} s")
        if isinstance(error, openai.APIStatusError):
            return self._status_error(error)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__ or error
            return TransientError(f"{endpoint.name} could not be reached: {self._described(cause)}")
        return TransientError(f"The exchange with {endpoint.name} failed: {self._described(error)}")

    def _connect(self, key: str | None) -> "openai.OpenAI":
        import openai

        try:
            return openai.OpenAI(
                base_url=self._endpoint.url,
                api_key=key or "none",
                timeout=self._endpoint.timeout_seconds,
                max_retries=0,  # ChatClient retries: it counts tries, keeps the budget and is deterministic.
            )
        except Exception as error:  # noqa: BLE001 - the libraries raise errors of many types here
            problem = self._connection_problem(error)
        raise ProviderError(f"No connection to {self._endpoint.name} can be set up: {problem}")

    def _connection_problem(self, error: Exception) -> str:
        """Name the environment variable that caused ``error``. A proxy is not shown, because it may hold a password."""
        names = _CERTIFICATES if isinstance(error, OSError) else _PROXIES
        # Only an ImportError is surely about one scheme.
        scheme = "socks" if isinstance(error, ImportError) else ""
        listed = " or ".join(
            name
            for name, value in sorted(os.environ.items())
            if name.upper() in names and value and value.lower().startswith(scheme)
        )
        if not listed:
            return self._described(error)
        if isinstance(error, OSError):
            return f"{self._described(error)}. Check the file in the environment variable {listed}, or unset it."
        if isinstance(error, ImportError):
            return (
                f"the SOCKS proxy in the environment variable {listed} needs another package: pip install socksio, or "
                "unset it."
            )
        return (
            f"the environment variable {listed} does not hold the address of a proxy such as http://HOST:PORT. Correct "
            "or unset it."
        )

    def _status_error(self, error: "openai.APIStatusError") -> Exception:
        status, endpoint, place = error.status_code, self._endpoint, self._place
        data = map_texts(self.redact, error.body)
        message = data.get("message", data) if isinstance(data, dict) else data
        answered = f"{endpoint.name} answered {status}: {self._shown(str(message or 'nothing'))}"
        if status in _KEY_REFUSED:
            variable = endpoint.key_variable
            key = f"the key in {variable}" if variable else f"requests without a key ({place}.key_variable)"
            return ProviderError(f"{answered} It rejects {key}: check the key and its permissions.")
        if status == _NOT_FOUND:
            settings = f"{place}.base_url={endpoint.url} and {place}.model={endpoint.model}"
            return _NotFoundError(f"{answered} Check {settings}.")
        if status == _NO_CREDIT or error.code == "insufficient_quota":
            return ProviderError(f"{answered} The account behind {endpoint.key_variable} has no credit left.")
        if status in _TRANSIENT_STATUS or status >= _SERVER_ERROR:
            return TransientError(answered, wait_seconds=retry_after(error.response.headers.get("retry-after")))
        return RejectedError(answered)

    def _described(self, error: BaseException) -> str:
        return self._shown(f"{type(error).__name__}: {error}")

    def _shown(self, text: str) -> str:
        """Return ``text`` for a message: on one line, shortened, and without parts of the key."""
        text = " ".join(self.redact(valid_text(text)).split())
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header (a number or a date), or None if it cannot be read."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
