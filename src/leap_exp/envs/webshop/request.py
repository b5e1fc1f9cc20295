"""What an instruction asks for, as far as its words tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from leap_exp.envs.webshop.analysis import terms, tokens
from leap_exp.envs.webshop.vocabulary import words

_LIMIT = re.compile(r",? and price lower than (\d+\.\d\d) dollars\s*\Z")
_FILLERS = frozenset(words("instruction_fillers"))
"""Words of the sentence around what is wanted, no property of any product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is wanted.

    ``text`` is the instruction in lower case without its price limit; ``words`` are those of it that say something of
    the product, in order and each once; ``terms`` are their stems. ``limit`` is in dollars, None if there is none.
    """

    text: str
    words: tuple[str, ...]
    terms: frozenset[str]
    limit: float | None

    def affords(self, price: float) -> bool:
        """Whether ``price``, in dollars, is within the limit."""
        return self.limit is None or price <= self.limit

    def missing(self, text: str) -> frozenset[str]:
        """The terms that ``text`` does not have."""
        return self.terms.difference(terms(text))

    def choice(self, values: Sequence[str]) -> str | None:
        """The one of ``values`` that is asked for word by word, the longest if there are several; None without one."""
        asked = f" {' '.join(tokens(self.text))} "
        named = [value for value in values if (said := " ".join(tokens(value))) and f" {said} " in asked]
        return max(named, key=len) if named else None


@lru_cache(maxsize=4096)
def read_request(instruction: str) -> Request:
    """The request that ``instruction`` makes."""
    found = _LIMIT.search(instruction)
    text = (instruction[: found.start()] if found else instruction).lower()
    said = tuple(dict.fromkeys(word for word in tokens(text) if word not in _FILLERS and terms(word)))
    return Request(
        text=text,
        words=said,
        terms=frozenset(term for word in said for term in terms(word)),
        limit=float(found[1]) if found else None,
    )
