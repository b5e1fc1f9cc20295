"""The reader of JSON answers, which tolerates what models add to them.

Code fences, surrounding text, thoughts, and the mistakes that ``lenient_json`` describes are accepted.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from leap_exp.core.errors import ParseError
from leap_exp.core.text import map_texts, valid_text
from leap_exp.tokens.lenient_json import read_lenient

_SHOWN = 80
MAX_LENIENT = 200
"""Brackets that are tried as the start of almost-JSON, so that a model that repeats itself takes no minutes to read."""
_DECODER = json.JSONDecoder(strict=False)
_OPENING = re.compile(r"[{\[]")


def read_object(text: str, key: str) -> Mapping[str, object]:
    """Return the last outermost JSON object in ``text`` that has ``key``.

    Raises:
        ParseError: There is none.
    """
    for value in reversed(list(_values(text))):
        if isinstance(value, dict) and key in value:
            return value
    raise ParseError(f"It has no JSON object with {key}: {_excerpt(text)}")


def read_list(text: str, key: str, *keys: str) -> Sequence[Mapping[str, object]]:
    """Return the objects in the list under ``key`` of the JSON object in ``text``; each must have ``keys``.

    The list alone, or its objects one after the other without a list, are accepted too.

    Raises:
        ParseError: There are none.
    """
    values = list(_values(text))
    lists = [value[key] for value in values if isinstance(value, dict) and key in value]
    for candidate in (*reversed(lists), *reversed(values), values):
        if isinstance(candidate, list) and candidate and all(_has(item, keys) for item in candidate):
            return candidate
    raise ParseError(f"It has no JSON list {key!r} of objects with {' and '.join(keys)}: {_excerpt(text)}")


def read_steps(text: str, key: str, count: int, *keys: str) -> Sequence[Mapping[str, object]]:
    """Return the objects of ``read_list``, one for each of ``count`` steps, in order.

    Raises:
        ParseError: There are none, too few or too many, or a number does not match its step.
    """
    items = read_list(text, key, *keys)
    if len(items) != count:
        raise ParseError(f"It has {len(items)} entries for {count} steps.")
    for number, item in enumerate(items, start=1):
        if count > 1 and str(item.get("step", number)) != str(number):
            raise ParseError(f"Its entry {number} is for step {item['step']}.")
    return items


def text_field(item: Mapping[str, object], key: str) -> str:
    """Return the text under ``key``, without surrounding whitespace.

    Raises:
        ParseError: There is no text.
    """
    value = item.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ParseError(f"{key!r} has to be a text, not {json.dumps(value)}.")
    return value.strip()


def _values(text: str) -> Iterator[object]:
    """Yield the outermost JSON objects and lists in ``text``, in order."""
    place = 0
    lenient = MAX_LENIENT
    while opening := _OPENING.search(text, place):
        start, place = opening.span()
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            if not lenient:
                continue
            lenient -= 1
            try:
                value, end = read_lenient(text, start)
            except ValueError:
                continue
        if _is_cut_by_quote(text, start, end):
            continue
        place = end
        yield map_texts(_meant, value)


def _is_cut_by_quote(text: str, start: int, end: int) -> bool:
    """Return whether a quote follows that opened nowhere: ``{"action": "echo "}"}`` is cut after its first ``}``."""
    following = text[end : end + 1]
    return following in ('"', "'") and following != text[:start][-1:]


def _meant(text: str) -> str:
    r"""Return ``text`` as it was meant: fit to be stored, and with ``\b`` and ``\f`` as in a regular expression."""
    return valid_text(text).replace("\b", r"\b").replace("\f", r"\f")


def _has(value: object, keys: Sequence[str]) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]} …") if flat else "it is empty"
