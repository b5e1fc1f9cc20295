"""Texts from outside, made fit to be stored, and digests of what they say."""

import hashlib
import json
import re
from collections.abc import Callable

_HALF = re.compile(r"[\ud800-\udfff]")


def valid_text(text: str) -> str:
    """Return ``text`` with every lone surrogate, which UTF-8 files cannot hold, replaced by U+FFFD."""
    if not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def content_digest(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the JSON data ``value``; the order of names does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def map_texts(change: Callable[[str], str], value: object) -> object:
    """Return the JSON data ``value`` with ``change`` applied to every text in it, names included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [map_texts(change, item) for item in value]
    if isinstance(value, dict):
        return {change(name): map_texts(change, item) for name, item in value.items()}
    return value
