"""What requests cost: an estimate before they are sent, a budget while they are, and the usage after."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from leap_exp.core.errors import ProviderError
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.messages import ChatReply, CompletionRequest, ModelRequest

CHARACTERS_PER_TOKEN = 4
"""A rough figure for every model, so that an estimate needs no tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """The expected cost of requests: roughly their prompt tokens, and answers of maximum length.

    ``max_dollars`` is None if prices are unknown.
    """

    requests: int
    tokens_in: int
    max_tokens_out: int
    max_dollars: float | None

    def __str__(self) -> str:
        """The estimate in words."""
        requests = f"{self.requests:,} request{'' if self.requests == 1 else 's'}"
        tokens = f"about {self.tokens_in:,} tokens in, at most {self.max_tokens_out:,} out"
        if self.max_dollars is None:
            return f"{requests}, {tokens}, unknown price"
        return f"{requests}, {tokens}, at most about ${self.max_dollars:,.2f}"


def rough_tokens(request: ModelRequest) -> int:
    """Return about how many tokens the prompt of ``request`` has."""
    if isinstance(request, CompletionRequest):
        return len(request.prompt_ids)
    return sum(len(message.text) for message in request.messages) // CHARACTERS_PER_TOKEN + 1


def estimate_cost(requests: Iterable[ModelRequest], endpoint: Endpoint) -> CostEstimate:
    """Estimate the cost of ``requests``, each answered once and at maximum length."""
    count = tokens_in = tokens_out = 0
    for request in requests:
        count += 1
        tokens_in += rough_tokens(request)
        tokens_out += request.max_tokens or endpoint.max_tokens
    return CostEstimate(
        requests=count,
        tokens_in=tokens_in,
        max_tokens_out=tokens_out,
        max_dollars=endpoint.cost(tokens_in, tokens_out),
    )


class Payment:
    """What one try cost. A try without an answer counts as free."""

    dollars = 0.0


class Budget:
    """Limits what a client spends from its start on. Thread-safe.

    A try is allowed only if the budget covers it together with the maximum cost of all tries in flight.
    """

    def __init__(self, endpoint: Endpoint, *, place: str) -> None:
        self._endpoint = endpoint
        self._place = place
        self._changed = threading.Condition()
        self._dollars = 0.0
        self._requests = 0
        self._reserved: list[float] = []

    @contextmanager
    def reserve(self, max_dollars: float | None) -> Iterator[Payment]:
        """Reserve ``max_dollars`` for one try; the caller sets the payment's ``dollars`` to what it did cost.

        Raises:
            ProviderError: The budget does not cover the try.
        """
        reserved = max_dollars or 0.0
        self._wait_for(reserved)
        payment = Payment()
        try:
            yield payment
        finally:
            with self._changed:
                self._reserved.remove(reserved)
                self._dollars += payment.dollars
                self._changed.notify_all()

    def _wait_for(self, dollars: float) -> None:
        endpoint = self._endpoint
        with self._changed:
            if endpoint.budget_requests is not None and self._requests >= endpoint.budget_requests:
                raise self._exhausted("budget_requests", f"{self._requests} requests were sent")
            limit = endpoint.budget_dollars
            if limit is not None:
                # Tries in flight mostly cost less than was reserved for them, so there may be enough once they end.
                while (
                    self._reserved and self._dollars + dollars <= limit < self._dollars + sum(self._reserved) + dollars
                ):
                    self._changed.wait()
                if self._dollars + sum(self._reserved) + dollars > limit:
                    spent = f"${self._dollars:.4f} is spent, and the next request may cost ${dollars:.4f}"
                    raise self._exhausted("budget_dollars", spent)
            self._requests += 1
            self._reserved.append(dollars)

    def _exhausted(self, setting: str, detail: str) -> ProviderError:
        name = f"{self._place}.{setting}"
        return ProviderError(
            f"{name}={getattr(self._endpoint, setting)} is used up: {detail} ({self._endpoint.name}). The answers so "
            f"far are cached and cost nothing again: raise {name} and repeat the command with the same run_dir."
        )


class Usage:
    """Counts the replies, failures and retries of one endpoint. Thread-safe.

    A cached reply counts like any other, so that equal runs have equal figures whatever was in the cache; only what was
    paid differs.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._reset()

    def add_reply(self, reply: ChatReply) -> None:
        """Count a reply from the server or the cache."""
        with self._lock:
            self._replies += 1
            self._tokens_in += reply.tokens_in
            self._tokens_out += reply.tokens_out
            self._truncated += reply.is_truncated
            if reply.cached:
                self._hits += 1
            else:
                self._latencies.append(reply.latency_seconds)
                self._paid += self._endpoint.cost(reply.tokens_in, reply.tokens_out) or 0.0

    def add_retry(self) -> None:
        """Count a try after the first."""
        with self._lock:
            self._retries += 1

    def add_failure(self) -> None:
        """Count a request without an answer."""
        with self._lock:
            self._failures += 1

    def take(self) -> Mapping[str, float]:
        """Return the usage since the last call as metrics without a stage name; empty if there was none.

        ``cost_dollars`` is the list price of all replies, cached or not; ``paid_dollars`` is what was paid now. Without
        prices both are left out.
        """
        with self._lock:
            if not self._replies and not self._failures:
                return {}
            metrics: dict[str, float] = {
                "replies_count": self._replies,
                "failures_count": self._failures,
                "truncated_count": self._truncated,
                "tokens_in_count": self._tokens_in,
                "tokens_out_count": self._tokens_out,
                "cache_hits_count": self._hits,
                "retries_count": self._retries,
            }
            cost = self._endpoint.cost(self._tokens_in, self._tokens_out)
            if cost is not None:
                metrics |= {"cost_dollars": cost, "paid_dollars": self._paid}
            if self._latencies:
                metrics |= {
                    "latency_p50_seconds": _percentile(self._latencies, 50),
                    "latency_p95_seconds": _percentile(self._latencies, 95),
                }
            self._reset()
            return metrics

    def _reset(self) -> None:
        self._replies = self._hits = self._failures = self._retries = self._truncated = 0
        self._tokens_in = self._tokens_out = 0
        self._paid = 0.0
        self._latencies: list[float] = []


def _percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least ``percent`` % of the values do not exceed."""
    rank = max(1, -(-len(values) * percent // 100))
    return sorted(values)[rank - 1]
