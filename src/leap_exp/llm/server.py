"""One exchange with an OpenAI-compatible server: what is sent, and what its answer, or its fault, means."""

import json
import re
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import openai

from leap_exp.core.errors import ProviderError
from leap_exp.core.seeding import derive_seed
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.estimate import CHARACTERS_PER_TOKEN, rough_tokens
from leap_exp.llm.records import ChatReply, ChatRequest, TokenLogprob
from leap_exp.llm.retry import TransientError, asked_wait

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

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """What is sent for ``request``."""
        endpoint = self._endpoint
        temperature = endpoint.temperature if request.temperature is None else request.temperature
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            endpoint.max_tokens_name: request.max_tokens or endpoint.max_tokens,
        }
        if temperature is not None:
            body["temperature"] = max(temperature, _RETRY_TEMPERATURE) if request.attempt else temperature
        if endpoint.send_seed:
            # Servers differ in the seeds they take; all take 31 bits.
            body["seed"] = derive_seed(request.seed, "attempt", request.attempt) >> 32
        if request.schema is not None and endpoint.structured_output != "no":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    def ask(self, request: ChatRequest, body: Mapping[str, Any]) -> ChatReply:
        """The server's answer to ``body``, which was made from ``request``.

        Raises:
            TransientError: no answer, or none that can be read, for a reason that may pass.
            RejectedError: the server refuses this request.
            ProviderError: the server refuses every request: the key, the model or the address is wrong.
        """
        start = time.monotonic()
        try:
            response = self._client.chat.completions.with_raw_response.create(**body)
            text = response.text
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
        return self._reply(request, self._without_key(text), latency=time.monotonic() - start)

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

    def _reply(self, request: ChatRequest, text: str, *, latency: float) -> ChatReply:
        try:
            data = json.loads(text)
            choice = data["choices"][0]
            message = choice["message"]
            content = message.get("content") or ""
            usage = data.get("usage") or {}
            return ChatReply(
                text=content,
                finish_reason=choice.get("finish_reason") or "",
                refusal=message.get("refusal") or "",
                tokens_in=usage.get("prompt_tokens", rough_tokens(request)),
                tokens_out=usage.get("completion_tokens", len(content) // CHARACTERS_PER_TOKEN),
                latency_seconds=latency,
                logprobs=_logprobs(choice) if request.top_logprobs is not None else None,
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


def _logprobs(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...] | None:
    """The report for each token, None where the server gave none."""
    places = (choice.get("logprobs") or {}).get("content")
    return places and tuple(
        TokenLogprob(
            token=place["token"],
            logprob=place["logprob"],
            top={other["token"]: other["logprob"] for other in place.get("top_logprobs") or ()},
        )
        for place in places
    )
