"""The records that go to and come from a model: requests, replies and failures."""

from collections.abc import Mapping
from dataclasses import dataclass

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation; ``role`` is system, user or assistant."""

    role: str
    text: str

    def __post_init__(self) -> None:
        """Check the role."""
        if self.role not in ROLES:
            raise ValueError(f"The role of a message must be one of {', '.join(ROLES)}, not {self.role!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A conversation for a model to continue.

    Attributes:
        messages: The conversation so far.
        seed: Sampling seed, for servers that accept one.
        attempt: 0 for the first request, then 1, 2, … if the caller could not use the answer. A later attempt has its
            own seed, its own cache entry and a temperature above 0, so that it gets a new answer.
        temperature: Sampling temperature; None for the endpoint's.
        max_tokens: Maximum tokens of the answer; None for the endpoint's.
        schema: JSON schema of the answer. Servers without structured output ignore it, so the messages must describe
            the form as well.
        top_logprobs: Number of most likely tokens to report at each position; None for no log-probabilities.
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
    """Tokens for a model to continue, without a chat template. vLLM supports this, few other servers do.

    Attributes:
        prompt_ids: Token ids of the prompt.
        model: Name of the model or adapter at the server; None for the endpoint's.
        stop_ids: Tokens that end the answer. They are not part of it.
        allowed_ids: The only tokens that the answer may consist of; empty for all. The reply has the ids of its tokens.
        top_p: Share of the probability that tokens are sampled from; None for the server's default.
        top_k: Number of likeliest tokens that tokens are sampled from; None for the server's default.
        seed: Like the fields below, as in ChatRequest.
    """

    prompt_ids: tuple[int, ...]
    model: str | None = None
    stop_ids: tuple[int, ...] = ()
    allowed_ids: tuple[int, ...] = ()
    top_p: float | None = None
    top_k: int | None = None
    seed: int = 0
    attempt: int = 0
    temperature: float | None = None
    max_tokens: int | None = None


ModelRequest = ChatRequest | CompletionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token of an answer, its log-probability in nats, and those of the most likely tokens at its position."""

    token: str
    logprob: float
    top: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check the types, because these values come from servers and files."""
        numbers = (self.logprob, *self.top.values())
        if not isinstance(self.token, str) or not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"Not a token with log-probabilities: {self!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """An answer as the model gave it; it may be cut off or a refusal.

    Attributes:
        text: The answer; empty if the model only refused.
        finish_reason: The server's own word: ``stop``, ``length``, ``content_filter``, …
        refusal: The text that the server marked as a refusal, or empty.
        tokens_in: Tokens of the prompt.
        tokens_out: Tokens of the answer.
        latency_seconds: Time of the try that was answered. For a cached reply, the time when it was first answered.
        cached: Whether the reply came from the cache and cost nothing.
        logprobs: One entry per token, or None.
        token_ids: Ids of the answer's tokens, the one that ended it included; None if they were not requested.
    """

    text: str
    finish_reason: str
    refusal: str
    tokens_in: int
    tokens_out: int
    latency_seconds: float
    cached: bool = False
    logprobs: tuple[TokenLogprob, ...] | None = None
    token_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the types, because these values come from servers and files."""
        for kind, names in (
            (str, ("text", "finish_reason", "refusal")),
            (int, ("tokens_in", "tokens_out")),
            (int | float, ("latency_seconds",)),
        ):
            for name in names:
                if not isinstance(getattr(self, name), kind):
                    raise TypeError(f"The {name} of a reply cannot be {type(getattr(self, name)).__name__}.")

    @property
    def is_truncated(self) -> bool:
        """Whether the answer was cut off at the token limit."""
        return self.finish_reason == "length"

    @property
    def is_refused(self) -> bool:
        """Whether the model refused or a content filter withheld the answer."""
        return bool(self.refusal) or self.finish_reason == "content_filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFailure:
    """A request without an answer, and why. The text contains no part of the key."""

    error: str


ChatResult = ChatReply | ChatFailure
