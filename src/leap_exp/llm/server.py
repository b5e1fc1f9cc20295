"""One exchange with an OpenAI-compatible server: what is sent, and what its answer, or its fault, means."""

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import openai

from leap_exp.core.errors import ProviderError
from leap_exp.core.seeding import derive_seed
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.estimate import CHARACTERS_PER_TOKEN, rough_tokens
from leap_exp.llm.records import ChatReply, ChatRequest, CompletionRequest, Request, TokenLogprob
from leap_exp.llm.retry import TransientError, asked_wait

T = TypeVar("T")

_TRANSIENT_STATUS = (408, 409, 425, 429)
_KEY_REFUSED = (401, 403)
_NO_CREDIT, _NOT_FOUND, _SERVER_FAULT = 402, 404, 500
_LONGEST_TEXT = 300
_RETRY_TEMPERATURE = 0.7
"""At temperature 0 a model says the same again, so those who ask once more are answered at this one at least."""
_SHORTEST_SECRET = 8
"""Keys below this length are placeholders such as EMPTY, which may stand in an answer for other reasons."""


class RejectedError(Exception):
    """The server refuses this one request as it is, so that asking again is of no use."""


class Server:
    """The server of an endpoint. Its key leaves this class in requests only, never in an answer or an error."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._key = endpoint.key()

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for ``request``."""
        endpoint = self._endpoint
        temperature = endpoint.temperature if request.temperature is None else request.temperature
        body = self._continuation(request) if isinstance(request, CompletionRequest) else self._conversation(request)
        if temperature is not None:
            body["temperature"] = max(temperature, _RETRY_TEMPERATURE) if request.attempt else temperature
        if endpoint.send_seed:
            # Servers differ in the seeds they take; all take 31 bits.
            body["seed"] = derive_seed(request.seed, "attempt", request.attempt) >> 32
        return body

    def _conversation(self, request: ChatRequest) -> dict[str, Any]:
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

    def _continuation(self, request: CompletionRequest) -> dict[str, Any]:
        return {
            "model": request.model or self._endpoint.model,
            "prompt": list(request.prompt_ids),
            "max_tokens": request.max_tokens or self._endpoint.max_tokens,
            # Settings of vLLM. It would take a penalty that the model's files recommend, and leave out marks such as
            # those around a thought.
            "extra_body": {
                "stop_token_ids": list(request.stop_ids),
                "repetition_penalty": 1.0,
                "skip_special_tokens": False,
            },
        }

    def ask(self, request: Request, body: Mapping[str, Any]) -> ChatReply:
        """The server's answer to ``body``, which was made from ``request``.

        Raises:
            TransientError: no answer, or none that can be read, for a reason that may pass.
            RejectedError: the server refuses this request.
            ProviderError: the server refuses every request: the key, the model or the address is wrong.
        """
        start = time.monotonic()
        continues = isinstance(request, CompletionRequest)
        resource = self._client.completions if continues else self._client.chat.completions
        text = self._sent(lambda: resource.with_raw_response.create(**body).text)
        return self._reply(request, self._without_key(text), latency=time.monotonic() - start)

    def _sent(self, send: Callable[[], T]) -> T:
        """What ``send`` brings back; its errors are those of ``ask``."""
        try:
            return send()
        except openai.APITimeoutError as error:
            raise TransientError(
                f"{self._endpoint.name} gave no answer in {self._endpoint.timeout_seconds:g} s"
            ) from error
        except openai.APIStatusError as error:
            raise self._refusal(error) from error
        except openai.OpenAIError as error:
            cause = error.__cause__ or error
            what = self._presentable(f"{type(cause).__name__}: {cause}")
            raise TransientError(f"{self._endpoint.name} could not be reached: {what}") from error

    @cached_property
    def _client(self) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self._endpoint.base_url,
            api_key=self._key or "none",
            timeout=self._endpoint.timeout_seconds,
            max_retries=0,  # Retries are ours: counted, within the budget, and repeatable.
        )

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        status, endpoint = error.status_code, self._endpoint
        message = error.body.get("message", error.body) if isinstance(error.body, Mapping) else error.body
        said = f"{endpoint.name} answered {status}: {self._presentable(str(message or 'nothing'))}"
        if status in _KEY_REFUSED:
            variable = endpoint.key_variable
            key = f"the key in {variable}" if variable else f"requests without a key ({endpoint.setting}.key_variable)"
            return ProviderError(f"{said} It refuses {key}: check the key, and what it gives access to.")
        if status == _NOT_FOUND:
            where = f"{endpoint.setting}.base_url={endpoint.base_url} and {endpoint.setting}.model={endpoint.model}"
            return ProviderError(f"{said} Check {where}.")
        if status == _NO_CREDIT or error.code == "insufficient_quota":
            return ProviderError(f"{said} The account behind {endpoint.key_variable} has no credit left.")
        if status in _TRANSIENT_STATUS or status >= _SERVER_FAULT:
            return TransientError(said, wait_seconds=asked_wait(error.response.headers.get("retry-after")))
        return RejectedError(said)

    def _reply(self, request: Request, text: str, *, latency: float) -> ChatReply:
        try:
            data = json.loads(text)
            choice = data["choices"][0]
            # To a conversation the answer is a message, to tokens a text.
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
            shown = self._presentable(text) or "nothing"
            raise TransientError(f"{self._endpoint.name} answered what cannot be read as a reply: {shown}") from error

    def _without_key(self, text: str) -> str:
        key = self._key
        return text.replace(key, "[key]") if key and len(key) >= _SHORTEST_SECRET else text

    def _presentable(self, text: str) -> str:
        """``text`` as it may be shown: on one line, not too long, without the key or a piece of it."""
        text = " ".join(self._without_key(text).split())
        if self._key and len(self._key) >= 2 * _SHORTEST_SECRET:
            # Servers show the beginning of a wrong key, and stars or its end behind it.
            text = re.sub(re.escape(self._key[:_SHORTEST_SECRET]) + r"\S*", "[key]", text)
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


def _logprobs(request: ChatRequest, choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...] | None:
    """The report for each token, None where none was asked for or the server gave none."""
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
