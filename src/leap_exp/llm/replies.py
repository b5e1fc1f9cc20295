"""Reads the bodies of replies. A body is read completely or not at all."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from leap_exp.core.text import valid_text
from leap_exp.llm.cost import CHARACTERS_PER_TOKEN, rough_tokens
from leap_exp.llm.messages import ChatReply, ChatRequest, CompletionRequest, ModelRequest, TokenLogprob

_TEXT_PARTS = ("text", "output_text")
_MAX_TOKENS = 1_000_000_000
"""Larger numbers of tokens are taken for nonsense."""


def parse_body(body: str) -> Any:  # noqa: ANN401 - JSON data
    """Return the JSON data in ``body``.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return json.loads(body.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_reply(request: ModelRequest, body: str, *, redact: Callable[[str], str], latency: float) -> ChatReply:
    """Return the answer in ``body``, without parts of the key and without lone surrogates.

    The text must be readable. Token counts and log-probabilities that cannot be read are as if they were missing.

    Raises:
        ValueError: The body has no readable answer.
    """

    def clean(text: str) -> str:
        return redact(valid_text(text))

    data = _object(parse_body(body), "the reply")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("it has no choices")
    choice = _object(choices[0], "the choice")
    finish_reason = _text_or_empty(choice.get("finish_reason"))
    token_ids = None
    if isinstance(request, CompletionRequest):
        text, refusal, logprobs = _string(choice.get("text"), "the text"), "", None
        token_ids = _token_ids(choice.get("token_ids")) if request.allowed_ids else None
    else:
        text, refusal = _message_text(_object(choice.get("message"), "the message"), finish_reason)
        logprobs = _logprobs(request, choice.get("logprobs"), clean)
    usage = data.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return ChatReply(
        text=clean(text),
        finish_reason=clean(finish_reason),
        refusal=clean(refusal),
        tokens_in=_count(counts.get("prompt_tokens"), rough_tokens(request)),
        tokens_out=_count(counts.get("completion_tokens"), len(text) // CHARACTERS_PER_TOKEN),
        latency_seconds=latency,
        logprobs=logprobs,
        token_ids=token_ids,
    )


def _token_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        raise ValueError("it has no token ids; vLLM has them since 0.10.2")
    return tuple(value)


def _message_text(message: Mapping[str, Any], finish_reason: str) -> tuple[str, str]:
    """Return the text of a message, and the text that is marked as a refusal."""
    content, refusal = message.get("content"), _text_or_empty(message.get("refusal"))
    if content is None:
        # A model that refuses, calls tools, or is cut off while it thinks sends null; some servers leave the field out.
        if "content" not in message and not refusal and finish_reason not in ("length", "content_filter"):
            raise ValueError("the message has no content")
        return "", refusal
    if isinstance(content, str):
        return content, refusal
    if not isinstance(content, list):
        raise ValueError(f"the content is of type {type(content).__name__}")
    texts, refusals = [], [refusal]
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = _object(part, "a part of the content").get("type", "text")
        if kind in _TEXT_PARTS:
            texts.append(_string(part.get("text"), "a text of the content"))
        elif kind == "refusal":
            refusals.append(_string(part.get("refusal"), "a refusal of the content"))
        # Other parts hold thoughts or media.
    return "".join(texts), "".join(refusals)


def _logprobs(request: ChatRequest, data: object, clean: Callable[[str], str]) -> tuple[TokenLogprob, ...] | None:
    """Return one entry per token; None if none was requested, or the server sent none that can be read."""
    places = data.get("content") if isinstance(data, dict) else None
    if request.top_logprobs is None or not isinstance(places, list) or not places:
        return None
    try:
        return tuple(
            TokenLogprob(
                token=clean(place["token"]),
                logprob=_number(place["logprob"]),
                top={clean(other["token"]): _number(other["logprob"]) for other in place.get("top_logprobs") or ()},
            )
            for place in places
        )
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError):
        return None


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _count(value: object, otherwise: int) -> int:
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else otherwise


def model_lengths(body: str) -> Mapping[str, int | None]:
    """Return the names in a list of models, each with its maximum number of tokens, or None if that is not listed.

    Raises:
        ValueError: The body is not such a list.
    """
    models = _object(parse_body(body), "the reply").get("data")
    if not isinstance(models, list):
        raise ValueError("it has no list of models")
    lengths = {}
    for model in models:
        length = _object(model, "a model").get("max_model_len")
        lengths[_string(model.get("id"), "the name of a model")] = length if type(length) is int else None
    return lengths
