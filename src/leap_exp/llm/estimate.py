"""What requests will cost, before they are sent."""

from collections.abc import Iterable
from dataclasses import dataclass

from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.records import CompletionRequest, Request

CHARACTERS_PER_TOKEN = 4
"""Rough, and the same for every model: an estimate must not need anyone's tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Requests to a model: their number, rough tokens of the messages, and what answers of full length add to that.

    ``dollars_most`` is None where prices are unknown.
    """

    requests: int
    tokens_in: int
    tokens_out_most: int
    dollars_most: float | None

    def __str__(self) -> str:
        """The estimate in words."""
        requests = f"{self.requests:,} request{'' if self.requests == 1 else 's'}"
        tokens = f"about {self.tokens_in:,} tokens in, at most {self.tokens_out_most:,} out"
        if self.dollars_most is None:
            return f"{requests}, {tokens}, of unknown price"
        return f"{requests}, {tokens}, at most about ${self.dollars_most:,.2f}"


def rough_tokens(request: Request) -> int:
    """About how many tokens the messages of ``request`` have."""
    if isinstance(request, CompletionRequest):
        return len(request.prompt_ids)
    return sum(len(message.text) for message in request.messages) // CHARACTERS_PER_TOKEN + 1


def estimate(requests: Iterable[Request], endpoint: Endpoint) -> Estimate:
    """What ``requests`` to ``endpoint`` cost if each is answered once, at full length."""
    count = tokens_in = tokens_out = 0
    for request in requests:
        count += 1
        tokens_in += rough_tokens(request)
        tokens_out += request.max_tokens or endpoint.max_tokens
    return Estimate(
        requests=count,
        tokens_in=tokens_in,
        tokens_out_most=tokens_out,
        dollars_most=endpoint.cost(tokens_in, tokens_out),
    )
