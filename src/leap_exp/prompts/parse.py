"""From what a model wrote to a decision: one tolerant parser."""

import re

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Decision

NOTHING_WRITTEN = "(nothing)"
"""Recorded as the action, which no environment admits, when a model wrote nothing at all."""

_FIELDS = re.compile(
    r"^\W*(?:reason(?:ing)?|thought)\W*:[\s*`]*(?P<reason>.*?)\s*^\W*action\W*:[ \t*`]*(?P<action>[^\n]*)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_ACTION = re.compile(r"^\W*action\W*:[ \t*`]*(?P<action>[^\n]*)", re.IGNORECASE | re.MULTILINE)


def parse_decision(text: str, *, reasons: bool) -> Decision:
    """The decision in ``text``.

    With ``reasons``, a reason field and an action field are looked for, in any case, with or without markdown around
    them; a lone action field is enough. Without ``reasons``, the first line is the action, with or without the field.

    Raises:
        ParseError: If there is no action.
    """
    fields = _FIELDS.search(text)
    if fields and reasons:
        return _decision(fields["reason"], fields["action"], text)
    lone = _ACTION.search(text)
    if lone:
        return _decision(text[: lone.start()] if reasons else "", lone["action"], text)
    if reasons:
        raise ParseError(f"No action field in {text!r}.")
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    return _decision("", first_line, text)


def read_decision(text: str, *, reasons: bool) -> Decision:
    """The decision in ``text``; what holds no action becomes, whole, an action, and one that nobody would admit."""
    try:
        return parse_decision(text, reasons=reasons)
    except ParseError:
        return Decision(reason="", action=text.strip() or NOTHING_WRITTEN)


def _decision(reason: str, action: str, text: str) -> Decision:
    action = action.strip().strip("*`\"'").strip()
    if not action:
        raise ParseError(f"No action in {text!r}.")
    return Decision(reason=reason.strip(), action=action)
