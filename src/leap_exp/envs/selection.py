"""Choosing some of an environment's tasks by a setting."""

from __future__ import annotations

import re

_RANGE = re.compile(r"(\d*):(\d*)")


def index_range(select: str) -> slice | None:
    """The slice that an index range such as "0:50", ":50" or "50:" means; None for any other text."""
    span = _RANGE.fullmatch(select.strip())
    return slice(*(int(bound) if bound else None for bound in span.groups())) if span else None
