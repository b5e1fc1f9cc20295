"""A limit on what one start of a run may spend at an endpoint."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from leap_exp.core.errors import ProviderError
from leap_exp.llm.endpoint import Endpoint


class Payment:
    """What one try came to; a try without an answer is taken to cost nothing."""

    dollars = 0.0


class Budget:
    """Lets a try go out only if the budget covers it, whatever those under way will cost; used by many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._changed = threading.Condition()
        self._dollars = 0.0
        self._requests = 0
        self._reserved: list[float] = []

    @contextmanager
    def payment(self, most_dollars: float | None) -> Iterator[Payment]:
        """One try that costs at most about ``most_dollars``; say in the context what it did cost.

        Raises:
            ProviderError: the budget does not cover it.
        """
        reserved = most_dollars or 0.0
        self._reserve(reserved)
        payment = Payment()
        try:
            yield payment
        finally:
            with self._changed:
                self._reserved.remove(reserved)
                self._dollars += payment.dollars
                self._changed.notify_all()

    def _reserve(self, dollars: float) -> None:
        endpoint = self._endpoint
        with self._changed:
            if endpoint.budget_requests is not None and self._requests >= endpoint.budget_requests:
                raise self._used_up("budget_requests", f"{self._requests} requests were sent")
            limit = endpoint.budget_dollars
            if limit is not None:
                # Those under way mostly cost less than was set aside for them, so there may be enough when they are in.
                while (
                    self._reserved and self._dollars + dollars <= limit < self._dollars + sum(self._reserved) + dollars
                ):
                    self._changed.wait()
                if self._dollars + sum(self._reserved) + dollars > limit:
                    paid = f"${self._dollars:.4f} is spent, and the next request may cost ${dollars:.4f}"
                    raise self._used_up("budget_dollars", paid)
            self._requests += 1
            self._reserved.append(dollars)

    def _used_up(self, setting: str, what: str) -> ProviderError:
        name = f"{self._endpoint.setting}.{setting}"
        return ProviderError(
            f"{name}={getattr(self._endpoint, setting)} is used up: {what} ({self._endpoint.name}). What was answered "
            f"is kept and costs nothing again: raise {name} and give the same command with the same run_dir."
        )
