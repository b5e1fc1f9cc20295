"""The built-in requests: file trees, requests about them and gold commands, from a seed."""

from __future__ import annotations

from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.intercode_bash.builtin.asking import ask
from leap_exp.envs.intercode_bash.builtin.planting import plant
from leap_exp.envs.intercode_bash.builtin.themes import THEMES
from leap_exp.envs.intercode_bash.requests import Collection


def generate(seed: int = 0) -> Collection:
    """The built-in requests: one of every family for every tree, in an order drawn at random.

    The same seed gives the same requests and trees on every machine. Trees for training and for testing share no name.
    """
    groves = [plant(theme, seed) for theme in THEMES]
    requests = [request for grove in groves for request in ask(grove, seed)]
    Random(derive_seed(seed, "intercode", "order")).shuffle(requests)
    return Collection(tuple(requests), {grove.tree.name: grove.tree for grove in groves})
