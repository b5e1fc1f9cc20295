"""From what a model wrote to the JSON that it was asked for: one tolerant reader.

Code fences, text before and after, thoughts, trailing commas and line breaks within strings do not matter.
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
    """The last JSON object in ``text`` that has ``key``, and is not itself part of another.

    Raises:
        ParseError: There is none.
    """
    for value in reversed(list(_values(text))):
        if isinstance(value, dict) and key in value:
            return value
    raise ParseError(f"It has no JSON object with {key}: {_excerpt(text)}")


def read_list(text: str, key: str, *keys: str) -> Sequence[Mapping[str, object]]:
    """The objects, all with ``keys``, in the list under ``key`` of the JSON object in ``text``.

    The list alone, and its objects one after the other without a list around them, are taken as well.

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
    """The objects of ``read_list``, one for each of ``count`` steps and in their order.

    Raises:
        ParseError: There are none, too few or too many, or one is for another step by its number.
    """
    items = read_list(text, key, *keys)
    if len(items) != count:
        raise ParseError(f"It has {len(items)} entries for {count} steps.")
    for number, item in enumerate(items, start=1):
        if count > 1 and str(item.get("step", number)) != str(number):
            raise ParseError(f"Its entry {number} is for step {item['step']}.")
    return items


def text_field(item: Mapping[str, object], key: str) -> str:
    """The text under ``key``, without blanks around it.

    Raises:
        ParseError: There is no text.
    """
    value = item.get(key)
    if not is_text(value) or not value.strip():
        raise ParseError(f"{key!r} has to be a text, not {json.dumps(value)}.")
    return value.strip()


def is_text(value: object) -> TypeGuard[str]:
    """Whether ``value`` is a text that a file can hold: JSON can also spell halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _values(text: str) -> Iterator[object]:
    """The JSON objects and lists in ``text`` that are not part of another, in order."""
    # A comma before a closing bracket is the commonest slip; those within strings are no slips.
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
