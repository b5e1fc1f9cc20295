"""Whatever makes the fast engine faster must not change what it says: digests of random play, from its first version.

That version was compared with TextWorld (docs/alfworld.md), as the present one is in tests/parity.
"""

import hashlib
import random

from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import read_game
from tests.support.alfworld_games import needs_archive, official_texts

BUILTIN = "fe4c59cf25bf5671a4c87f1f047966bf53cba2d3c9e68f109c8ae5db81bbc817"
OFFICIAL = "ac315d6de2f9da17de12117a23c31a832dbfc427818589bac2282ffb438e45cc"

_STEPS = 80
_STRANGE = ("sing", "", "LOOK", " look ", "go to nowhere 1")


def _digest(texts):
    """A digest of all that two random players see in each game, one of whom mostly handles objects."""
    digest = hashlib.sha256()
    for name, text in texts:
        game = read_game(text, game_id=name)
        for handling in (0.0, 0.6):
            rng = random.Random(f"{name} {handling}")
            world = World(game)
            shown = world.intro()
            for command in (*game.walkthrough, *[None] * _STEPS):
                listed = [command for command, _ in world.admissible()]
                digest.update(repr((shown, listed, world.won)).encode())
                shown = world.step(command or _draw(listed, handling, rng))
    return digest.hexdigest()


def _draw(listed, handling, rng):
    if rng.random() < 0.1:
        return rng.choice(_STRANGE)
    objects = [command for command in listed if not command.startswith(("go ", "examine ", "look", "inv", "help"))]
    return rng.choice(objects) if objects and rng.random() < handling else rng.choice(listed)


def test_built_in_games_say_what_they_always_said():
    texts = [
        (f"{household}/{split}/{index}", generate_game(split, index, seed=0, household=household))
        for household in ("small", "full")
        for split in ("train", "valid_seen", "valid_unseen")
        for index in range(6)
    ]
    assert _digest(texts) == BUILTIN


@needs_archive
def test_official_games_say_what_they_always_said():
    assert _digest(official_texts(40)) == OFFICIAL
