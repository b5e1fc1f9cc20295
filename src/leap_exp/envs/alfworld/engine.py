"""What both engines offer: one running game, driven by commands."""

from collections.abc import Callable
from typing import Protocol

from leap_exp.envs.alfworld.fast import World
from leap_exp.envs.alfworld.game import Game, read_game


class Play(Protocol):
    """A running game and what it shows now."""

    text: str
    """The answer to the last command, or the opening text."""
    admissible: tuple[str, ...]
    reward: float
    done: bool
    won: bool

    def step(self, command: str) -> None:
        """Carry out ``command``; one that is not admissible changes nothing and is answered so."""

    def close(self) -> None:
        """Free what the game holds."""


OpenPlay = Callable[[str], Play]
"""Starts a game from the text of its ``game.tw-pddl`` file."""


class FastPlay:
    """A game on the fast engine."""

    def __init__(self, game: Game) -> None:
        self._world = World(game)
        self.reward = 0.0
        self._show(self._world.intro())

    def step(self, command: str) -> None:
        """Carry out ``command``."""
        self._show(self._world.step(command))
        self.reward = float(self.won)

    def close(self) -> None:
        """Nothing is held outside the object itself."""

    def _show(self, text: str) -> None:
        self.text = text
        self.admissible = tuple(command for command, _ in self._world.admissible())
        self.won = self.done = self._world.won


def open_fast(game_text: str) -> FastPlay:
    """Start a game on the fast engine from the text of its file."""
    return FastPlay(read_game(game_text))
