"""When to try again, and how long to wait before that."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from leap_exp.core.seeding import SEED_BITS, derive_seed

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 600.0
"""A server that asks for a longer wait than this is not waited for."""


class TransientError(Exception):
    """A try that failed for a reason that may pass; ``wait_seconds`` is what the server asked to wait, if it did."""

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def wait_before(tried: int, *, key: str, asked_seconds: float | None) -> float:
    """Seconds to wait after ``tried`` tries of the request ``key``: as the server asked, or twice as long each time.

    Drawn from a range, by request, so that requests that failed together do not come back together; never shorter than
    asked.
    """
    share = derive_seed(0, "retry", key, tried) / (1 << SEED_BITS)
    if asked_seconds is not None:
        return asked_seconds * (1 + share / 10)
    return min(math.ldexp(FIRST_WAIT_SECONDS, tried - 1), LONGEST_WAIT_SECONDS) * (1 + share) / 2


def asked_wait(retry_after: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header (a number or a date) asks for; None if there is none to be read."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
