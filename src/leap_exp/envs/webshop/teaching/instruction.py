"""Reads from the words of an instruction what it asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from leap_exp.envs.webshop.engine.analysis import terms, tokens
from leap_exp.envs.webshop.engine.vocabulary import words

_LIMIT = re.compile(r",? and price lower than (\d+\.\d\d) dollars\s*\Z")
_FILLERS = frozenset(words("instruction_fillers"))
"""Words that do not describe the product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedInstruction:
    """What an instruction asks for.

    Attributes:
        text: The instruction in lower case, without its price limit.
        words: The words that describe the product, in order and without repetitions.
        terms: The search terms of these words.
        limit: The price limit in dollars, or None.
    """

    text: str
    words: tuple[str, ...]
    terms: frozenset[str]
    limit: float | None

    def affords(self, price: float) -> bool:
        """Return whether ``price``, in dollars, is within the limit."""
        return self.limit is None or price <= self.limit

    def missing_terms(self, text: str) -> frozenset[str]:
        """Return the terms that ``text`` does not contain."""
        return self.terms.difference(terms(text))

    def named_value(self, values: Sequence[str]) -> str | None:
        """Return the longest of the option ``values`` that the instruction contains word for word, or None."""
        text = f" {' '.join(tokens(self.text))} "
        named = [value for value in values if (name := " ".join(tokens(value))) and f" {name} " in text]
        return max(named, key=len) if named else None


@lru_cache(maxsize=4096)
def parse_instruction(instruction: str) -> ParsedInstruction:
    """Parse an instruction."""
    found = _LIMIT.search(instruction)
    text = (instruction[: found.start()] if found else instruction).lower()
    described = tuple(dict.fromkeys(word for word in tokens(text) if word not in _FILLERS and terms(word)))
    return ParsedInstruction(
        text=text,
        words=described,
        terms=frozenset(term for word in described for term in terms(word)),
        limit=float(found[1]) if found else None,
    )
