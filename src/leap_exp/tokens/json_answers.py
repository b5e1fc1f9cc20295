"""The reader of JSON answers, which tolerates what models add to them.

Code fences, surrounding text, thoughts, trailing commas and line breaks within strings are accepted.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from leap_exp.core.errors import ParseError

_SHOWN = 80
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
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
    if not is_text(value) or not value.strip():
        raise ParseError(f"{key!r} has to be a text, not {json.dumps(value)}.")
    return value.strip()


def is_text(value: object) -> TypeGuard[str]:
    """Return whether ``value`` is a text that can be stored; JSON can also express lone surrogates, which cannot."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _values(text: str) -> Iterator[object]:
    """Yield the outermost JSON objects and lists in ``text``, in order."""
    # A comma before a closing bracket is the most common mistake. Commas within strings are kept.
    text = _STRING_OR_COMMA.sub(lambda match: "" if match[0] == "," else match[0], text)
    decoder = json.JSONDecoder(strict=False)
    place = 0
    while opening := _OPENING.search(text, place):
        try:
            value, place = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            place = opening.end()
        else:
            yield value


def _has(value: object, keys: Sequence[str]) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]} …") if flat else "it is empty"
