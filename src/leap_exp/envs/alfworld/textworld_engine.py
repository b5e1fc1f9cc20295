"""The reference: the alfworld package and its TextWorld engine, set up as its ``AlfredTWEnv`` does.

TextWorld parses with objects that all games of a process share, and Fast Downward's translator swaps ``sys.stdout`` and
overwrites ``sys.argv``; a lock keeps threads apart, and what the translator leaves changed is put back.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leap_exp.core.errors import EnvError

_LOCK = threading.RLock()


class TextWorldPlay:
    """A game on TextWorld."""

    def __init__(self, game_text: str) -> None:
        """Start the game whose file has the text ``game_text``."""
        with _exclusively():
            self._pddl = _new_environment()
            self._environment = _demangled(self._pddl)
            self._environment.load(json.loads(game_text))
            state = self._environment.reset()
        self.reward = 0.0
        self.done = False
        self._show(state)

    def step(self, command: str) -> None:
        """Carry out ``command``."""
        with _exclusively():
            state, reward, done = self._environment.step(command)
        self.reward, self.done = float(reward), bool(done)
        self._show(state)

    def close(self) -> None:
        """Free what the planner library holds for the game.

        Its code stays loaded: to unload it, as the package's ``close_lib`` does, crashes the process when it ends.
        """
        with _exclusively():
            self._pddl.downward_lib.cleanup()

    def _show(self, state: Any) -> None:  # noqa: ANN401 (TextWorld has no types)
        self.text: str = state.feedback
        self.admissible: tuple[str, ...] = tuple(state.admissible_commands)
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
    """Raise an EnvError that says what to install if the reference is not there."""
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
