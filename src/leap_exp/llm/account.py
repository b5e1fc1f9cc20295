"""The account of an endpoint: what was asked, what it cost, how long it took."""

import threading
from collections.abc import Mapping, Sequence

from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.records import ChatReply


class Account:
    """Counts replies, failures and retries of one endpoint, told by many threads at a time.

    A cached reply has tokens and a price like any other, so that equal runs have equal figures whatever the cache held;
    only what was paid differs.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._clear()

    def note_reply(self, reply: ChatReply) -> None:
        """Count a reply, from the server or the cache."""
        with self._lock:
            self._replies += 1
            self._tokens_in += reply.tokens_in
            self._tokens_out += reply.tokens_out
            if reply.cached:
                self._hits += 1
            else:
                self._latencies.append(reply.latency_seconds)
                self._paid += self._endpoint.cost(reply.tokens_in, reply.tokens_out) or 0.0

    def note_retry(self) -> None:
        """Count a try after the first."""
        with self._lock:
            self._retries += 1

    def note_failure(self) -> None:
        """Count a request that got no answer."""
        with self._lock:
            self._failures += 1

    def close(self) -> Mapping[str, float]:
        """The account since it was last closed, as metrics without a stage's name; empty if nothing was asked.

        ``cost_dollars`` is what the replies cost at list price, cached or not, and ``paid_dollars`` what of that was
        paid now. Both are left out where prices are unknown.
        """
        with self._lock:
            if not self._replies and not self._failures:
                return {}
            metrics: dict[str, float] = {
                "replies_count": self._replies,
                "failures_count": self._failures,
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
                    "latency_p50_seconds": percentile(self._latencies, 50),
                    "latency_p95_seconds": percentile(self._latencies, 95),
                }
            self._clear()
            return metrics

    def _clear(self) -> None:
        self._replies = self._hits = self._failures = self._retries = 0
        self._tokens_in = self._tokens_out = 0
        self._paid = 0.0
        self._latencies: list[float] = []


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of ``values`` that ``percent`` per cent of them do not exceed."""
    rank = max(1, -(-len(values) * percent // 100))
    return sorted(values)[rank - 1]
