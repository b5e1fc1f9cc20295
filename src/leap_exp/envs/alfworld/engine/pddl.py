"""Parser for PDDL text: nested lists and typed lists of names."""

import re
from collections.abc import Iterable

from leap_exp.core.errors import DataError

Expression = str | list["Expression"]
"""A symbol in lower case (PDDL ignores case), or a list of expressions."""

_COMMENT = re.compile(r";[^\n]*")
_SYMBOL = re.compile(r"[()]|[^\s()]+")


def without_comments(text: str) -> str:
    """Return ``text`` in lower case without its comments."""
    return _COMMENT.sub("", text).lower() if ";" in text else text.lower()


def parse_expression(text: str) -> Expression:
    """Return the first expression in ``text``.

    Raises:
        DataError: The parentheses do not match.
    """
    stack: list[list[Expression]] = []
    for symbol in _SYMBOL.findall(without_comments(text)):
        if symbol == "(":
            stack.append([])
        elif symbol != ")":
            if not stack:
                raise DataError(f"PDDL text starts with {symbol!r} instead of an opening parenthesis.")
            stack[-1].append(symbol)
        elif len(stack) == 1:
            return stack[0]
        elif stack:
            done = stack.pop()
            stack[-1].append(done)
    raise DataError(f"The parentheses of a PDDL text do not match: {text.strip()[:60]!r}.")


def typed_names(symbols: Iterable[str]) -> dict[str, str]:
    """Return the type of each name in a typed list such as ``a b - t c``; "object" for a name without a type."""
    types: dict[str, str] = {}
    waiting: list[str] = []
    remaining = iter(symbols)
    for symbol in remaining:
        if symbol == "-":
            kind = next(remaining, "object")
            for name in waiting:
                types[name] = kind
            waiting.clear()
        else:
            waiting.append(symbol)
    return types | dict.fromkeys(waiting, "object")


def flat_list(expression: Expression) -> list[str]:
    """Return ``expression`` as a list of symbols; raises DataError if it is anything else."""
    if isinstance(expression, list):
        symbols = [part for part in expression if isinstance(part, str)]
        if len(symbols) == len(expression):
            return symbols
    raise DataError(f"PDDL text has {expression!r} where a list of names was expected.")
