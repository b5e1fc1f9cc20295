"""Several servers with the same model, asked as if they were one.

The rule that balances them is that of SGLang's router: a conversation stays with its server, where its prefix is
cached, unless the loads differ too much.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leap_exp.core.errors import ProviderError
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.messages import ChatReply, ModelRequest
from leap_exp.llm.server import RejectedError, Server, TransientError, UnknownModelError

logger = logging.getLogger(__name__)

FAILURES_UNTIL_DOWN = 3
"""Failed requests in a row after which a server counts as down."""
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0
SERVERS_PER_TRY = 2
"""Servers that a request may go to before it counts as failed and waits for its next try."""
MORE_REQUESTS, TIMES_AS_MANY = 8, 1.5
"""A conversation moves if its server has this many more requests, and this many times as many, as the least loaded."""
PINNED = 1 << 16
"""Conversations whose server is remembered; those that have been silent longest are forgotten first."""


@dataclass(slots=True)
class _Replica:
    """A server and what is known of it.

    Attributes:
        revive: Called before the server is asked again after it was down.
        asked_again_at: When it may be asked again; None while it is up.
        is_tried: Whether a request finds out now if it is up again.
    """

    server: Server
    revive: Callable[[], object]
    in_flight: int = 0
    failures_in_a_row: int = 0
    pause: float = FIRST_PAUSE_SECONDS
    asked_again_at: float | None = None
    is_tried: bool = False


class Replicas:
    """The servers of an endpoint. Takes the place of a ``Server`` in a ``ChatClient``. Thread-safe.

    A conversation stays with one server. Where a server fails, its requests go to others at once; after several
    failures in a row it is down, and a single request asks it again after a pause that doubles each time.

    Args:
        servers: One for each address.
        revive: For each server, what to do before it is asked again, such as loading an adapter.
        clock: Returns seconds, for tests.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        revive: Sequence[Callable[[], object]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = [
            _Replica(server, do) for server, do in zip(servers, revive or [_nothing] * len(servers), strict=True)
        ]
        self._clock = clock
        self._pinned: OrderedDict[str, _Replica] = OrderedDict()
        self._lock = threading.Lock()
        self.redact = servers[0].redact

    @classmethod
    def of(cls, endpoint: Endpoint, *, place: str) -> "Replicas":
        """Return the servers at the addresses of ``endpoint``."""
        return cls([Server(each, place=place) for each in endpoint.replicas])

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the body to send for ``request``, whichever server gets it."""
        return self._replicas[0].server.body(request)

    def ask(self, request: ModelRequest, body: Mapping[str, Any]) -> ChatReply:
        """Send ``body`` to one of the servers, and to another one if that fails.

        Raises:
            TransientError: None of those asked has answered.
            RejectedError: A server rejects this request.
            ProviderError: All servers reject every request.
        """
        failed: list[_Replica] = []
        while True:
            replica = self._take(request.conversation, failed)
            try:
                if replica.is_tried:
                    replica.revive()
                reply = replica.server.ask(request, body)
            except RejectedError:
                self._release(replica)
                raise
            except (TransientError, ProviderError) as error:
                self._release(replica, error)
                failed.append(replica)
                if not self._may_go_on(failed, error):
                    raise
            except BaseException:
                self._release(replica)
                raise
            else:
                self._release(replica)
                return reply

    def _take(self, conversation: str, failed: Sequence[_Replica]) -> _Replica:
        """Choose a server and count a request to it."""
        with self._lock:
            now = self._clock()
            others = [replica for replica in self._replicas if replica not in failed] or self._replicas
            due = [each for each in others if each.asked_again_at is not None and each.asked_again_at <= now]
            chosen = next((each for each in due if not each.is_tried), None)
            if chosen is None:
                up = [replica for replica in others if replica.asked_again_at is None]
                # If all are down, the one that will be asked again first; the client waits between the tries.
                chosen = self._of_conversation(conversation, up) if up else min(others, key=_asked_again_at)
            chosen.is_tried = chosen.asked_again_at is not None
            chosen.in_flight += 1
            return chosen

    def _of_conversation(self, conversation: str, up: Sequence[_Replica]) -> _Replica:
        least = min(up, key=lambda replica: replica.in_flight)
        chosen = self._pinned.get(conversation, least) if conversation else least
        if chosen not in up or (
            chosen.in_flight > least.in_flight + MORE_REQUESTS and chosen.in_flight > least.in_flight * TIMES_AS_MANY
        ):
            chosen = least
        if conversation:
            self._pinned[conversation] = chosen
            self._pinned.move_to_end(conversation)
            if len(self._pinned) > PINNED:
                self._pinned.popitem(last=False)
        return chosen

    def _may_go_on(self, failed: Sequence[_Replica], error: Exception) -> bool:
        """Return whether another server may answer a request that has failed."""
        with self._lock:
            is_left = any(each.asked_again_at is None and each not in failed for each in self._replicas)
        return is_left and (isinstance(error, ProviderError) or len(failed) < SERVERS_PER_TRY)

    def _release(self, replica: _Replica, error: Exception | None = None) -> None:
        """Note that a request has come back, with an answer or with ``error``."""
        with self._lock:
            replica.in_flight -= 1
            was_down, replica.is_tried = replica.asked_again_at is not None, False
            if error is None:
                replica.failures_in_a_row = 0
                if was_down:
                    replica.asked_again_at, replica.pause = None, FIRST_PAUSE_SECONDS
                    logger.warning("%s answers again.", replica.server.name)
                return
            replica.failures_in_a_row += 1
            is_certain = isinstance(error, ProviderError | UnknownModelError)
            if was_down:
                replica.pause = min(2 * replica.pause, LONGEST_PAUSE_SECONDS)
            elif not is_certain and replica.failures_in_a_row < FAILURES_UNTIL_DOWN:
                return
            # A server without the adapter answers again as soon as that is loaded.
            pause = 0.0 if isinstance(error, UnknownModelError) and not was_down else replica.pause
            replica.asked_again_at = self._clock() + pause
            if not was_down:
                others = sum(each.asked_again_at is None for each in self._replicas)
                logger.warning("%s is down: %s (servers left: %d)", replica.server.name, error, others)


def _asked_again_at(replica: _Replica) -> float:
    return replica.asked_again_at or 0.0


def _nothing() -> None:
    """Do nothing."""
