"""A quicker reference for the check: TextWorld with its pure functions computed once for each input.

Stock TextWorld translates a game's PDDL four times, parses grammar text again for every admissible action, and makes
deep copies of names. ``memoised_textworld`` keeps the results of these functions, by their full input, while it is
active; what they return is the same (a test compares both). Timings must use the stock functions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch


@contextmanager
def memoised_textworld() -> Iterator[None]:
    """Memoise TextWorld's pure functions in this process until the context ends."""
    import fast_downward
    import textworld.envs.pddl.textgen as textgen
    from textworld.generator.game import EntityInfo
    from textworld.logic import Placeholder, Rule, Variable

    parse_text = lru_cache(maxsize=4096)(textgen._parse_and_convert)
    with ExitStack() as patches:
        patches.enter_context(patch.object(fast_downward, "pddl2sas", _for_play(fast_downward.pddl2sas)))
        patches.enter_context(patch.object(textgen, "_parse_and_convert", _fresh_copies(parse_text)))
        parse_query = lru_cache(maxsize=4096)(Rule.parse_conjunctive_query)
        patches.enter_context(patch.object(Rule, "parse_conjunctive_query", staticmethod(parse_query)))
        for named in (EntityInfo, Placeholder, Variable):
            # Nothing changes these after loading, so that a copy may be the thing itself.
            patches.enter_context(patch.object(named, "__deepcopy__", _itself, create=True))
        yield


def _for_play(translate: Callable[..., Any]) -> Callable[..., Any]:
    """The translation of the last problem for playing; also where one for planning is asked for, which play ignores."""
    last = lru_cache(maxsize=1)(translate)

    def translated(domain: str, problem: str, *, verbose: bool = False, optimize: bool = False) -> Any:  # noqa: ANN401, ARG001
        return last(domain, problem, verbose=verbose)

    return translated


def _fresh_copies(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, returning a copy of its result each time: callers write to the symbols that they get."""

    def copied(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (TextWorld has no types)
        return copy.deepcopy(function(*args, **kwargs))

    return copied


def _itself(value: Any, _memo: dict[int, Any]) -> Any:  # noqa: ANN401 (TextWorld has no types)
    return value
