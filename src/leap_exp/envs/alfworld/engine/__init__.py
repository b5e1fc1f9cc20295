"""Two engines for ALFWorld games: a fast one in plain Python, and the original TextWorld.

Modules, each using only those before it: ``pddl``, ``domain``, ``problem``, ``state``, ``query``, ``goal``,
``grammar``, ``game``, ``fast``; apart from these, ``textworld`` and ``compare``.
"""

from collections.abc import Callable
from typing import Protocol


class Play(Protocol):
    """A running game on either engine.

    Attributes:
        text: The answer to the last command, or the opening text.
        admissible: The admissible commands, in alphabetical order.
        reward: The reward of the last command.
        done: Whether the game is over.
        won: Whether the goal is reached.
    """

    text: str
    admissible: tuple[str, ...]
    reward: float
    done: bool
    won: bool

    def step(self, command: str) -> None:
        """Execute ``command``. An inadmissible command changes nothing; the answer says so."""

    def close(self) -> None:
        """Release the game's resources."""


OpenPlay = Callable[[str], Play]
"""Starts a game, given the text of its ``game.tw-pddl`` file."""
