"""What is asked of a model and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation; ``role`` is system, user or assistant."""

    role: str
    text: str

    def __post_init__(self) -> None:
        """Refuse a role that servers do not know."""
        if self.role not in ROLES:
            raise ValueError(f"A message's role is one of {', '.join(ROLES)}, not {self.role!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A conversation that a model is to continue.

    Attributes:
        messages: The turns so far.
        seed: Seed of the model's sampling, for servers that take one.
        attempt: Which try this is of one who was not content with the answer. A try after the first has another seed,
            another place in the cache and some temperature, so that it is a new answer and not the first one again.
        temperature: None for the endpoint's.
        max_tokens: Tokens that the answer may have; None for the endpoint's.
        schema: JSON schema of the answer, for servers that can hold a model to one. Others answer freely, so the
            messages must say what is asked for all the same.
        top_logprobs: How many likely tokens to report at each place, besides the chosen one; None for no report.
    """

    messages: tuple[Message, ...]
    seed: int = 0
    attempt: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    schema: Mapping[str, object] | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """Tokens that a model is to continue as they stand, without a chat template; vLLM takes these, few others do.

    Attributes:
        prompt_ids: The tokens so far.
        model: Name at the server of the model or adapter to ask; None for the endpoint's.
        stop_ids: Tokens that end the answer and are no part of it.
        seed: As in a ChatRequest; so are the others.
    """

    prompt_ids: tuple[int, ...]
    model: str | None = None
    stop_ids: tuple[int, ...] = ()
    seed: int = 0
    attempt: int = 0
    temperature: float | None = None
    max_tokens: int | None = None


Request = ChatRequest | CompletionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token of an answer with its log-probability (nats) and those of the likeliest tokens at its place."""

    token: str
    logprob: float
    top: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """An answer, as the model gave it; it may be cut off, or a refusal.

    Attributes:
        text: What the model said; empty where it only refused.
        finish_reason: As the server says it: ``stop``, ``length``, ``content_filter`` and the like.
        refusal: The refusal that the server marked as such, or empty.
        tokens_in: Tokens of the messages.
        tokens_out: Tokens of the answer.
        latency_seconds: From sending to receiving, without the tries before; of the first time if ``cached``.
        cached: Whether it came from the cache and cost nothing.
        logprobs: A report for each token, or None.
    """

    text: str
    finish_reason: str
    refusal: str
    tokens_in: int
    tokens_out: int
    latency_seconds: float
    cached: bool = False
    logprobs: tuple[TokenLogprob, ...] | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether the answer ended at the limit on its tokens."""
        return self.finish_reason == "length"

    @property
    def is_refused(self) -> bool:
        """Whether the model refused, or a filter kept its answer back."""
        return bool(self.refusal) or self.finish_reason == "content_filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFailure:
    """A request that got no answer, and why; never holds a key."""

    error: str
