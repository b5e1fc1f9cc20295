"""A client that sends many requests at once: concurrency, retries, budget, cache and usage.

tenacity is not used: the wait depends on the request and the server's Retry-After, every try passes the budget, and a
stopping client ends its waits; that is the whole loop in ``ChatClient._try``.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

from leap_exp.core.errors import ProviderError
from leap_exp.core.protocols import ProgressCallback
from leap_exp.core.seeding import SEED_BITS, derive_seed
from leap_exp.llm.cache import ReplyCache, cache_key
from leap_exp.llm.cost import Budget, Usage, estimate_cost
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.messages import ChatFailure, ChatReply, ChatResult, ModelRequest
from leap_exp.llm.server import RejectedError, Server, SlowAnswerError, TransientError
from leap_exp.runs import cache_folder

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_FAILURES_IN_A_ROW = 8
"""After this many requests in a row without an answer, the server is considered down."""
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 600.0
"""If the server requests a longer wait, the request fails instead."""


class ChatClient:
    """Sends requests to a model, with retries and within a budget, and caches the replies.

    Args:
        endpoint: The model and its server.
        place: Where these settings are in the configuration, for messages.
        wait: Replaces waiting between tries, for tests.
        recover: Called with the error before a request is tried again, by several threads at once. It may restart the
            server.

    Raises:
        ProviderError: The API key, or another environment variable for connections, cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        place: str = Endpoint.place,
        wait: Callable[[float], object] | None = None,
        recover: Callable[[TransientError], object] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._place = place
        self._usage = Usage(endpoint)
        self._server = Server(endpoint, place=place)
        self._cache = ReplyCache(cache_folder() / "replies", redact=self._server.redact)
        self._budget = Budget(endpoint, place=place)
        self._wait = wait
        self._recover = recover
        self._lock = threading.Lock()
        self._has_answered = False
        self._failures_in_a_row = 0
        self._reported_slow_at = -math.inf
        self._accepts_schemas = True

    def complete(
        self, requests: Sequence[ModelRequest], on_progress: ProgressCallback | None = None
    ) -> list[ChatResult]:
        """Return the reply to, or the failure of, each request, in order. A failure does not affect other requests.

        Equal requests are sent once. Each reply is cached as soon as it arrives.

        Raises:
            ProviderError: The key, model or address is wrong, the budget is used up, or the server is down. It is
                raised once the requests in flight are answered and cached.
        """
        bodies = [self._server.body(request) for request in requests]
        keys = [self._key(body, request) for body, request in zip(bodies, requests, strict=True)]
        copies = Counter(keys)
        first: dict[str, int] = {}
        for index, key in enumerate(keys):
            first.setdefault(key, index)
        unique = list(first.values())
        stopping = threading.Event()
        results: dict[str, ChatResult] = {}
        done = 0

        def work(place: int) -> ChatResult:
            index = unique[place]
            return self._answer(requests[index], bodies[index], keys[index], stopping)

        for place, result in run_many(work, len(unique), limit=self.endpoint.concurrency, stopping=stopping):
            key = keys[unique[place]]
            results[key] = result
            done += copies[key]
            if on_progress is not None:
                on_progress(done, len(keys))
        failures = [result for result in results.values() if isinstance(result, ChatFailure)]
        if failures and not self._has_answered:
            raise ProviderError(
                f"None of the first {len(failures)} requests was answered: {failures[0].error}. Check "
                f"{self._place}.base_url={self.endpoint.url} and the other settings of {self._place}."
            )
        return [results[key] for key in keys]

    def estimate(self, requests: Sequence[ModelRequest]) -> str:
        """Describe what ``requests`` will cost, without those that are cached."""
        new = [request for request in requests if self._key(self._server.body(request), request) not in self._cache]
        cached = len(requests) - len(new)
        estimate = f"{self.endpoint.name}: {estimate_cost(new, self.endpoint)}"
        return estimate + (f"; {cached:,} more are cached" if cached else "")

    def take_usage(self) -> Mapping[str, float]:
        """Return the usage since the last call; see ``Usage.take``."""
        return self._usage.take()

    def _key(self, body: Mapping[str, Any], request: ModelRequest) -> str:
        return cache_key(self.endpoint.url, body, attempt=request.attempt)

    def _answer(
        self, request: ModelRequest, body: Mapping[str, Any], key: str, stopping: threading.Event
    ) -> ChatResult:
        """Return the answer from the cache, or else from the server, and cache it."""
        reply = self._cache.get(key)
        if reply is None:
            try:
                reply = self._ask(request, body, key, stopping)
            except (TransientError, RejectedError) as error:
                self._usage.add_failure()
                logger.warning("A model request failed: %s", error)
                if isinstance(error, TransientError):
                    self._check_outage(error)
                return ChatFailure(error=str(error))
            self._cache.put(key, body, reply)
        with self._lock:
            self._has_answered = True
            self._failures_in_a_row = 0
        self._usage.add_reply(reply)
        return reply

    def _ask(self, request: ModelRequest, body: Mapping[str, Any], key: str, stopping: threading.Event) -> ChatReply:
        """Ask the server. With ``structured_output=auto``, drop the schema if the server rejects it."""
        if "response_format" not in body or self.endpoint.structured_output != "auto":
            return self._try(request, body, key, stopping)
        if self._accepts_schemas:
            try:
                return self._try(request, body, key, stopping)
            except RejectedError:
                logger.debug("%s may not accept schemas; trying without one", self.endpoint.name)
        plain = {name: value for name, value in body.items() if name != "response_format"}
        reply = self._try(request, plain, key, stopping)
        self._accepts_schemas = False
        return reply

    def _try(self, request: ModelRequest, body: Mapping[str, Any], key: str, stopping: threading.Event) -> ChatReply:
        """Ask the server until it answers, up to ``endpoint.tries`` times."""
        endpoint = self.endpoint
        wait = stopping.wait if self._wait is None else self._wait
        tried = 0
        while True:
            tried += 1
            try:
                with self._budget.reserve(estimate_cost([request], endpoint).max_dollars) as payment:
                    reply = self._server.ask(request, body)
                    payment.dollars = endpoint.cost(reply.tokens_in, reply.tokens_out) or 0.0
                return reply
            except TransientError as error:
                requested = error.wait_seconds
                if tried == endpoint.tries or stopping.is_set() or (requested or 0.0) > MAX_RETRY_AFTER_SECONDS:
                    raise TransientError(f"{error} (tries: {tried})", wait_seconds=requested) from error
                self._usage.add_retry()
                if isinstance(error, SlowAnswerError):
                    self._report_slow(error, tried)
                if self._recover is not None:
                    self._recover(error)
                wait(wait_before_retry(tried, key=key, requested_seconds=requested))

    def _report_slow(self, error: SlowAnswerError, tried: int) -> None:
        """Warn that an answer takes too long, at most once in the time that is waited for one."""
        endpoint, now = self.endpoint, time.monotonic()
        with self._lock:
            if now - self._reported_slow_at < endpoint.timeout_seconds:
                return
            self._reported_slow_at = now
        logger.warning(
            "%s; the request is sent again (try %d of %d). If the server is only slow, raise %s.timeout_seconds or "
            "lower %s.concurrency.",
            *(error, tried + 1, endpoint.tries, self._place, self._place),
        )

    def _check_outage(self, error: TransientError) -> None:
        with self._lock:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                raise ProviderError(
                    f"{MAX_FAILURES_IN_A_ROW} requests in a row got no answer, the last one: {error}. The answers so "
                    "far are cached: when the server is back, repeat the command with the same run_dir."
                )


def wait_before_retry(tried: int, *, key: str, requested_seconds: float | None) -> float:
    """Return the seconds to wait after ``tried`` tries of the request ``key``.

    Waits double up to a maximum, unless the server requested one. Each is varied by the request's key, so that requests
    that failed together do not return together, and is never shorter than requested.
    """
    share = derive_seed(0, "retry", key, tried) / (1 << SEED_BITS)
    if requested_seconds is not None:
        return requested_seconds * (1 + share / 10)
    return min(math.ldexp(FIRST_WAIT_SECONDS, tried - 1), MAX_WAIT_SECONDS) * (1 + share) / 2


def run_many(work: Callable[[int], T], count: int, *, limit: int, stopping: threading.Event) -> Iterator[tuple[int, T]]:
    """Run ``work(0)`` to ``work(count - 1)``, at most ``limit`` at a time; yield each index and result when done.

    If one raises, ``stopping`` is set and no further one starts; those running are finished and yielded, then the error
    is raised. The threads are daemons, which those of ThreadPoolExecutor are not, so that an interrupted process ends
    at once.
    """
    indices = iter(range(count))
    lock = threading.Lock()
    done: SimpleQueue[tuple[int, T] | BaseException | None] = SimpleQueue()

    def run_worker() -> None:
        while not stopping.is_set():
            with lock:
                index = next(indices, None)
            if index is None:
                break
            try:
                done.put((index, work(index)))
            except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
                stopping.set()
                done.put(error)
        done.put(None)

    workers = [threading.Thread(target=run_worker, daemon=True) for _ in range(min(limit, count))]
    for worker in workers:
        worker.start()
    running, first_error = len(workers), None
    try:
        while running:
            result = done.get()
            if result is None:
                running -= 1
            elif isinstance(result, BaseException):
                first_error = first_error or result
            else:
                yield result
    finally:
        stopping.set()
    if first_error is not None:
        raise first_error
