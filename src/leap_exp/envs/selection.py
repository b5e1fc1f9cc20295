"""Selection of tasks by an index range."""

import re

_RANGE = re.compile(r"(\d*):(\d*)")


def index_range(select: str) -> slice | None:
    """Return the slice for an index range such as "0:50", ":50" or "50:"; None for any other text."""
    span = _RANGE.fullmatch(select.strip())
    return slice(*(int(bound) if bound else None for bound in span.groups())) if span else None
