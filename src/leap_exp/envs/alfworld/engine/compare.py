"""Comparison of two engines: play the same commands in both and list the differences."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.alfworld.engine import OpenPlay, Play

_FIELDS = ("text", "admissible", "reward", "done", "won")
_OPENING_STEPS = 4
# Of the other random commands 80 % are admissible, 10 % were admissible in an earlier state, and 10 % are malformed.
_ADMISSIBLE_SHARE, _SEEN_SHARE = 0.8, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference between two engines after the same commands."""

    game_id: str
    commands: tuple[str, ...]
    field: str
    expected: object
    actual: object

    def __str__(self) -> str:
        """One line: the game, the step, and what differs."""
        last = self.commands[-1] if self.commands else "(opening)"
        where = f"{self.game_id} step {len(self.commands)} after {last!r}"
        if self.field == "admissible" and isinstance(self.expected, tuple) and isinstance(self.actual, tuple):
            missing = sorted(set(self.expected) - set(self.actual))
            extra = sorted(set(self.actual) - set(self.expected))
            return f"{where}: admissible commands differ, missing {missing}, extra {extra} (or in another order)"
        return f"{where}: {self.field} is {self.actual!r}, expected {self.expected!r}"


def compare_engines(
    game_text: str, reference: OpenPlay, candidate: OpenPlay, *, game_id: str, walkthrough: Sequence[str],
    steps: int, seed: int,
) -> list[Difference]:  # fmt: skip
    """Play the walkthrough and ``steps`` random commands in both engines, up to the first step that differs.

    A few commands that change nothing come first, then the walkthrough, then the other random commands.
    """
    rng = random.Random(derive_seed(seed, "alfworld", "check", game_id))
    expected, actual = reference(game_text), candidate(game_text)
    try:
        done: list[str] = []
        found = _differences(game_id, done, expected, actual)
        for command in commands_to_try(expected, rng, walkthrough, steps):
            if found:
                break
            expected.step(command)
            actual.step(command)
            done.append(command)
            found = _differences(game_id, done, expected, actual)
        return found
    finally:
        expected.close()
        actual.close()


class Listing(Protocol):
    """Something that lists admissible commands."""

    @property
    def admissible(self) -> Sequence[str]:
        """The admissible commands."""


def commands_to_try(play: Listing, rng: random.Random, walkthrough: Sequence[str], steps: int) -> Iterator[str]:
    """Yield commands for ``play``, which is stepped meanwhile: some without effect, the walkthrough, random ones."""
    opening = min(steps, _OPENING_STEPS)
    for _ in range(opening):
        yield rng.choice(("look", "inventory", "help", _malformed(play.admissible, rng)))
    yield from walkthrough
    seen: list[str] = []
    for _ in range(steps - opening):
        seen += play.admissible
        draw = rng.random()
        if draw < _ADMISSIBLE_SHARE:
            yield _admissible(play.admissible, rng)
        else:
            yield rng.choice(seen) if draw < _SEEN_SHARE else _malformed(play.admissible, rng)


def _admissible(admissible: Sequence[str], rng: random.Random) -> str:
    """Draw an admissible command; half of the time one that changes an object or receptacle, if there is any."""
    changing = [command for command in admissible if not command.startswith(("go ", "examine ", "look", "inv", "help"))]
    return rng.choice(changing) if changing and rng.random() < 0.5 else rng.choice(admissible)


def _malformed(admissible: Sequence[str], rng: random.Random) -> str:
    """Draw a variation of an admissible command. Only the one with white space around it is still admissible."""
    command = rng.choice([command for command in admissible if " " in command])
    return rng.choice(
        (f"  {command} ", command.upper(), command[:-1], f"{command} 1", command.replace(" ", "  "), "", "sing", "take")
    )


def _differences(game_id: str, commands: Sequence[str], expected: Play, actual: Play) -> list[Difference]:
    return [
        Difference(
            game_id=game_id, commands=tuple(commands), field=name,
            expected=getattr(expected, name), actual=getattr(actual, name),
        )
        for name in _FIELDS
        if getattr(expected, name) != getattr(actual, name)
    ]  # fmt: skip
