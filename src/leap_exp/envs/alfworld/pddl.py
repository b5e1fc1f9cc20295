"""Reading PDDL text: nested lists and typed name lists."""

import re
from collections.abc import Iterable, Iterator

from leap_exp.core.errors import DataError

Expression = str | list["Expression"]
"""A symbol, or a list of expressions; symbols are in lower case, as PDDL does not tell case."""

_COMMENT = re.compile(r";[^\n]*")
_SYMBOL = re.compile(r"[()]|[^\s()]+")


def without_comments(text: str) -> str:
    """``text`` in lower case without its comments."""
    return _COMMENT.sub("", text).lower() if ";" in text else text.lower()


def parse_expression(text: str) -> Expression:
    """The first expression in ``text``; a DataError if its parentheses do not match."""
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


def typed_names(symbols: Iterable[Expression]) -> Iterator[tuple[str, str]]:
    """The (name, type) pairs of a typed list ``a b - t c - u``; a name without a type has the type "object"."""
    waiting: list[str] = []
    type_follows = False
    for symbol in symbols:
        if not isinstance(symbol, str):
            raise DataError(f"A typed list holds {symbol!r} where a name was expected.")
        if type_follows:
            yield from ((name, symbol) for name in waiting)
            waiting, type_follows = [], False
        elif symbol == "-":
            type_follows = True
        else:
            waiting.append(symbol)
    yield from ((name, "object") for name in waiting)
