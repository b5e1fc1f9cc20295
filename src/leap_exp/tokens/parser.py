"""The parser of responses: from a model's text to a decision."""

import re

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Decision

EMPTY_ACTION = "(nothing)"
"""The action recorded for an empty response; no environment admits it."""

_FIELDS = re.compile(
    r"^\W*(?:reason(?:ing)?|thought)\W*:[\s*`]*(?P<reason>.*?)\s*^\W*action\W*:[ \t*`]*(?P<action>[^\n]*)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_ACTION = re.compile(r"^\W*action\W*:[ \t*`]*(?P<action>[^\n]*)", re.IGNORECASE | re.MULTILINE)


def parse_decision(text: str, *, reasons: bool) -> Decision:
    """Parse a response.

    With ``reasons``, a reason field and an action field are expected, in any case and with or without markdown; an
    action field alone is enough. Without ``reasons``, the first line is the action, with or without the field name.

    Raises:
        ParseError: There is no action.
    """
    fields = _FIELDS.search(text)
    if fields and reasons:
        return _decision(fields["reason"], fields["action"], text)
    action = _ACTION.search(text)
    if action:
        return _decision(text[: action.start()] if reasons else "", action["action"], text)
    if reasons:
        raise ParseError(f"No action field in {text!r}.")
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    return _decision("", first_line, text)


def read_decision(text: str, *, reasons: bool) -> Decision:
    """Parse a response; text without an action becomes, as a whole, an action that no environment admits."""
    try:
        return parse_decision(text, reasons=reasons)
    except ParseError:
        return Decision(reason="", action=text.strip() or EMPTY_ACTION)


def _decision(reason: str, action: str, text: str) -> Decision:
    action = action.strip().strip("*`\"'").strip()
    if not action:
        raise ParseError(f"No action in {text!r}.")
    return Decision(reason=reason.strip(), action=action)
