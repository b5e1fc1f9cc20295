"""The reference engine: the alfworld package on TextWorld, set up as its ``AlfredTWEnv`` does.

TextWorld parses with objects that all games of a process share, and Fast Downward's translator replaces ``sys.stdout``
and ``sys.argv``. A lock therefore lets one thread at a time in, and ``sys.argv`` is restored.
"""

import copy
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch

from leap_exp.core.errors import EnvError
from leap_exp.envs.alfworld.engine import Play

_LOCK = threading.RLock()


class TextWorldPlay(Play):
    """A running game on TextWorld."""

    def __init__(self, game_text: str) -> None:
        """Start a game, given the text of its file."""
        with _exclusively():
            self._pddl = _new_environment()
            self._environment = _demangled(self._pddl)
            self._environment.load(json.loads(game_text))
            state = self._environment.reset()
        self.reward = 0.0
        self.done = False
        self._show(state)

    def step(self, command: str) -> None:
        """Execute ``command``."""
        with _exclusively():
            state, reward, done = self._environment.step(command)
        self.reward, self.done = float(reward), bool(done)
        self._show(state)

    def close(self) -> None:
        """Free the planner library's data for this game.

        Its code stays loaded: unloading it, as the package's ``close_lib`` does, crashes the process at exit.
        """
        with _exclusively():
            self._pddl.downward_lib.cleanup()

    def _show(self, state: Any) -> None:  # noqa: ANN401 (TextWorld has no types)
        self.text = state.feedback
        self.admissible = tuple(state.admissible_commands)
        self.won = bool(state.won)


@contextmanager
def _exclusively() -> Iterator[None]:
    with _LOCK:
        arguments = sys.argv
        try:
            yield
        finally:
            sys.argv = arguments


def require_textworld() -> None:
    """Raise an EnvError that says what to install if TextWorld is missing."""
    try:
        import alfworld  # noqa: F401
        import textworld.envs.pddl  # noqa: F401
    except ImportError as error:
        raise EnvError(
            f"engine=textworld needs the alfworld package ({error}): pip install 'leap-exp[alfworld]', or engine=fast."
        ) from error


def _new_environment() -> Any:  # noqa: ANN401 (TextWorld has no types)
    require_textworld()
    from textworld import EnvInfos
    from textworld.envs.pddl import PddlEnv

    return PddlEnv(EnvInfos(won=True, admissible_commands=True))


def _demangled(environment: Any) -> Any:  # noqa: ANN401 (TextWorld has no types)
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler

    return AlfredDemangler(environment, shuffle=False)


@contextmanager
def memoised_textworld() -> Iterator[None]:
    """Cache TextWorld's slow pure functions until the context ends; results do not change.

    Stock TextWorld translates a game's PDDL four times, parses grammar texts again for every admissible action and
    deep-copies names. Comparing engines is much faster with the caches. Do not use them for benchmarks.
    """
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
            # These never change after loading, so a copy can be the object itself.
            patches.enter_context(patch.object(named, "__deepcopy__", _itself, create=True))
        yield


def _for_play(translate: Callable[..., Any]) -> Callable[..., Any]:
    """Cache the translation of the last problem. Ignore ``optimize``, which is for planning and changes no game."""
    last = lru_cache(maxsize=1)(translate)

    def translated(domain: str, problem: str, *, verbose: bool = False, optimize: bool = False) -> Any:  # noqa: ANN401, ARG001
        return last(domain, problem, verbose=verbose)

    return translated


def _fresh_copies(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of the result at each call, since callers modify it."""

    def copied(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (TextWorld has no types)
        return copy.deepcopy(function(*args, **kwargs))

    return copied


def _itself(value: Any, _memo: dict[int, Any]) -> Any:  # noqa: ANN401 (TextWorld has no types)
    return value
