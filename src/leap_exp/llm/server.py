"""One exchange with an OpenAI-compatible server: the request body, and what the answer or error means."""

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from leap_exp.core.errors import ProviderError
from leap_exp.core.seeding import derive_seed
from leap_exp.llm.cost import CHARACTERS_PER_TOKEN, rough_tokens
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.messages import ChatReply, ChatRequest, CompletionRequest, ModelRequest, TokenLogprob

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
_SHORTEST_SECRET = 8
"""Shorter keys are placeholders such as EMPTY, which an answer may contain for other reasons."""


class TransientError(Exception):
    """A try failed for a reason that may pass; ``wait_seconds`` is the wait that the server requested, if any."""

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class RejectedError(Exception):
    """The server rejects this request, and would reject it again."""


class Server:
    """The server of an endpoint. The API key leaves this class in requests only, never in an answer or an error.

    Args:
        endpoint: The server's address and settings.
        place: Where these settings are in the configuration, for messages.
    """

    def __init__(self, endpoint: Endpoint, *, place: str = Endpoint.place) -> None:
        self._endpoint = endpoint
        self._place = place
        self._key = endpoint.key(place)

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
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            endpoint.max_tokens_name: request.max_tokens or endpoint.max_tokens,
        }
        if request.schema is not None and endpoint.structured_output != "no":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    def _completion_body(self, request: CompletionRequest) -> dict[str, Any]:
        return {
            "model": request.model or self._endpoint.model,
            "prompt": list(request.prompt_ids),
            "max_tokens": request.max_tokens or self._endpoint.max_tokens,
            # vLLM would apply a repetition penalty from the model's files and drop special tokens, such as those around
            # a thought.
            "extra_body": {
                "stop_token_ids": list(request.stop_ids),
                "repetition_penalty": 1.0,
                "skip_special_tokens": False,
            },
        }

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
        text = self._exchange(lambda: resource.with_raw_response.create(**body).text)
        return self._reply(request, self._without_key(text), latency=time.monotonic() - start)

    def _exchange(self, send: Callable[[], T]) -> T:
        """Return the result of ``send``; raises the same errors as ``ask``."""
        import openai

        endpoint = self._endpoint
        try:
            return send()
        except openai.APITimeoutError as error:
            raise TransientError(f"{endpoint.name} did not answer within {endpoint.timeout_seconds:g} s") from error
        except openai.APIStatusError as error:
            raise self._status_error(error) from error
        except openai.OpenAIError as error:
            cause = error.__cause__ or error
            detail = self._shown(f"{type(cause).__name__}: {cause}")
            raise TransientError(f"{endpoint.name} could not be reached: {detail}") from error

    @cached_property
    def _client(self) -> "openai.OpenAI":
        import openai

        return openai.OpenAI(
            base_url=self._endpoint.url,
            api_key=self._key or "none",
            timeout=self._endpoint.timeout_seconds,
            max_retries=0,  # ChatClient retries: it counts tries, keeps the budget and is deterministic.
        )

    def _status_error(self, error: "openai.APIStatusError") -> Exception:
        status, endpoint, place = error.status_code, self._endpoint, self._place
        message = error.body.get("message", error.body) if isinstance(error.body, Mapping) else error.body
        answered = f"{endpoint.name} answered {status}: {self._shown(str(message or 'nothing'))}"
        if status in _KEY_REFUSED:
            variable = endpoint.key_variable
            key = f"the key in {variable}" if variable else f"requests without a key ({place}.key_variable)"
            return ProviderError(f"{answered} It rejects {key}: check the key and its permissions.")
        if status == _NOT_FOUND:
            settings = f"{place}.base_url={endpoint.url} and {place}.model={endpoint.model}"
            return ProviderError(f"{answered} Check {settings}.")
        if status == _NO_CREDIT or error.code == "insufficient_quota":
            return ProviderError(f"{answered} The account behind {endpoint.key_variable} has no credit left.")
        if status in _TRANSIENT_STATUS or status >= _SERVER_ERROR:
            return TransientError(answered, wait_seconds=retry_after(error.response.headers.get("retry-after")))
        return RejectedError(answered)

    def _reply(self, request: ModelRequest, text: str, *, latency: float) -> ChatReply:
        try:
            data = json.loads(text)
            choice = data["choices"][0]
            message = {"content": choice["text"]} if isinstance(request, CompletionRequest) else choice["message"]
            content = message.get("content") or ""
            usage = data.get("usage") or {}
            return ChatReply(
                text=content,
                finish_reason=choice.get("finish_reason") or "",
                refusal=message.get("refusal") or "",
                tokens_in=usage.get("prompt_tokens", rough_tokens(request)),
                tokens_out=usage.get("completion_tokens", len(content) // CHARACTERS_PER_TOKEN),
                latency_seconds=latency,
                logprobs=None if isinstance(request, CompletionRequest) else _logprobs(request, choice),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            shown = self._shown(text) or "nothing"
            raise TransientError(f"{self._endpoint.name} sent an answer that cannot be read: {shown}") from error

    def _without_key(self, text: str) -> str:
        key = self._key
        return text.replace(key, "[key]") if key and len(key) >= _SHORTEST_SECRET else text

    def _shown(self, text: str) -> str:
        """``text`` for a message: on one line, shortened, and without the key or parts of it."""
        text = " ".join(self._without_key(text).split())
        if self._key and len(self._key) >= 2 * _SHORTEST_SECRET:
            # Servers quote the beginning of a wrong key, followed by stars or its end.
            text = re.sub(re.escape(self._key[:_SHORTEST_SECRET]) + r"\S*", "[key]", text)
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


class AdapterServer(Server):
    """A vLLM server, which loads and unloads LoRA adapters while it runs. An adapter is addressed like a model."""

    def models(self) -> list[str] | None:
        """Return the names of the server's models and adapters, or None if no server answers.

        Raises:
            ProviderError: Something else answers, or the server rejects the key.
        """
        try:
            return self._exchange(lambda: [model.id for model in self._client.models.list()])
        except TransientError:
            return None
        except RejectedError as error:
            raise ProviderError(f"{error} Is it a vLLM server?") from error

    def load(self, name: str, folder: Path) -> None:
        """Load the adapter in ``folder`` under ``name``.

        Raises:
            ProviderError: The server does not load it.
        """
        try:
            self._post("/load_lora_adapter", {"lora_name": name, "lora_path": str(folder.resolve())})
        except (TransientError, RejectedError, ProviderError) as error:
            raise ProviderError(
                f"The adapter in {folder} could not be loaded: {error} The server must be vLLM, have access to that "
                "folder, and run with --enable-lora, --max-lora-rank (at least student.lora.r) and the environment "
                "variable VLLM_ALLOW_RUNTIME_LORA_UPDATING=True."
            ) from error

    def unload(self, name: str) -> bool:
        """Unload an adapter; returns whether the server did."""
        try:
            self._post("/unload_lora_adapter", {"lora_name": name})
        except (TransientError, RejectedError, ProviderError):
            return False
        return True

    def _post(self, path: str, body: dict[str, str]) -> str:
        return self._exchange(lambda: self._client.post(path, body=body, cast_to=str))


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
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _logprobs(request: ChatRequest, choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...] | None:
    """Return one entry per token; None if none was requested or the server sent none."""
    if request.top_logprobs is None:
        return None
    places = (choice.get("logprobs") or {}).get("content")
    return places and tuple(
        TokenLogprob(
            token=place["token"],
            logprob=place["logprob"],
            top={other["token"]: other["logprob"] for other in place.get("top_logprobs") or ()},
        )
        for place in places
    )
