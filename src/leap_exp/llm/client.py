"""Asking a model many things at a time, each of them once."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leap_exp.core.errors import ProviderError
from leap_exp.core.protocols import ProgressCallback
from leap_exp.llm.account import Account
from leap_exp.llm.budget import Budget
from leap_exp.llm.cache import ReplyCache, cache_key
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.estimate import estimate
from leap_exp.llm.pool import run_many
from leap_exp.llm.records import ChatFailure, ChatReply, Request
from leap_exp.llm.retry import LONGEST_ASKED_SECONDS, TransientError, wait_before
from leap_exp.llm.server import RejectedError, Server
from leap_exp.store import cache_folder

logger = logging.getLogger(__name__)

OUTAGE = 8
"""After this many requests in a row that used up their tries, the server is taken to be down."""

Outcome = ChatReply | ChatFailure


class ChatClient:
    """A model that can be asked: with retries, within a budget, from the cache where it was asked before.

    ``wait`` stands in for waiting between tries, in tests.
    """

    def __init__(self, endpoint: Endpoint, *, wait: Callable[[float], object] | None = None) -> None:
        """Raises ProviderError if the endpoint's key is not set."""
        self.endpoint = endpoint
        self.account = Account(endpoint)
        self._server = Server(endpoint)
        self._cache = ReplyCache(cache_folder() / "replies")
        self._budget = Budget(endpoint)
        self._wait = wait
        self._lock = threading.Lock()
        self._has_answered = False
        self._failed_in_a_row = 0
        self._takes_schemas = True

    def complete(self, requests: Sequence[Request], on_progress: ProgressCallback | None = None) -> list[Outcome]:
        """The answer, or the failure, to each of ``requests``, in order; one that fails costs the others nothing.

        Equal requests are asked once. What is answered is in the cache at once, whatever happens next.

        Raises:
            ProviderError: the key, model or address is wrong, the budget is used up, or the server is down. Requests
                under way are awaited and kept before that.
        """
        bodies = [self._server.body(request) for request in requests]
        keys = [self._key(body, request) for body, request in zip(bodies, requests, strict=True)]
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        asked = sorted(first.values())
        stopping = threading.Event()
        outcomes: dict[str, Outcome] = {}

        def work(place: int) -> Outcome:
            index = asked[place]
            return self._answer(requests[index], bodies[index], keys[index], stopping)

        for place, outcome in run_many(work, len(asked), limit=self.endpoint.concurrency, stopping=stopping):
            outcomes[keys[asked[place]]] = outcome
            if on_progress is not None:
                on_progress(sum(key in outcomes for key in keys), len(keys))
        failures = [outcome for outcome in outcomes.values() if isinstance(outcome, ChatFailure)]
        if failures and not self._has_answered:
            raise ProviderError(
                f"None of the first {len(failures)} requests was answered: {failures[0].error}. Check "
                f"{self.endpoint.setting}.base_url={self.endpoint.base_url} and what is asked of the server."
            )
        return [outcomes[key] for key in keys]

    def forecast(self, requests: Sequence[Request]) -> str:
        """What ``requests`` will cost, in words, leaving out those that the cache answers."""
        new = [request for request in requests if self._key(self._server.body(request), request) not in self._cache]
        kept = len(requests) - len(new)
        return f"{self.endpoint.name}: {estimate(new, self.endpoint)}" + (f"; {kept:,} more are cached" if kept else "")

    def _key(self, body: Mapping[str, Any], request: Request) -> str:
        return cache_key(self.endpoint.base_url, body, attempt=request.attempt)

    def _answer(self, request: Request, body: Mapping[str, Any], key: str, stopping: threading.Event) -> Outcome:
        """From the cache, or from the server and into the cache."""
        reply = self._cache.get(key)
        if reply is None:
            try:
                reply = self._ask(request, body, key, stopping)
            except (TransientError, RejectedError) as error:
                self.account.note_failure()
                logger.warning("No answer from a model: %s", error)
                if isinstance(error, TransientError):
                    self._note_outage(error)
                return ChatFailure(error=str(error))
            self._cache.put(key, body, reply)
        with self._lock:
            self._has_answered = True
            self._failed_in_a_row = 0
        self.account.note_reply(reply)
        return reply

    def _ask(self, request: Request, body: Mapping[str, Any], key: str, stopping: threading.Event) -> ChatReply:
        """From the server; with structured output on ``auto``, without a schema where it takes none."""
        if "response_format" not in body or self.endpoint.structured_output != "auto":
            return self._try(request, body, key, stopping)
        if self._takes_schemas:
            try:
                return self._try(request, body, key, stopping)
            except RejectedError:
                logger.debug("%s may not take a schema; asking without one", self.endpoint.name)
        plain = {name: value for name, value in body.items() if name != "response_format"}
        reply = self._try(request, plain, key, stopping)
        self._takes_schemas = False
        return reply

    def _try(self, request: Request, body: Mapping[str, Any], key: str, stopping: threading.Event) -> ChatReply:
        """From the server, again and again while the fault may pass."""
        endpoint = self.endpoint
        wait = stopping.wait if self._wait is None else self._wait
        tried = 0
        while True:
            tried += 1
            try:
                with self._budget.payment(estimate([request], endpoint).dollars_most) as payment:
                    reply = self._server.ask(request, body)
                    payment.dollars = endpoint.cost(reply.tokens_in, reply.tokens_out) or 0.0
                return reply
            except TransientError as error:
                asked = error.wait_seconds
                if tried == endpoint.tries or stopping.is_set() or (asked or 0.0) > LONGEST_ASKED_SECONDS:
                    raise TransientError(f"{error} (tries: {tried})", wait_seconds=asked) from error
                self.account.note_retry()
                wait(wait_before(tried, key=key, asked_seconds=asked))

    def _note_outage(self, error: TransientError) -> None:
        with self._lock:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= OUTAGE:
                raise ProviderError(
                    f"{OUTAGE} requests in a row got no answer, the last: {error}. What was answered is kept: when the "
                    "server is back, give the same command with the same run_dir."
                )
