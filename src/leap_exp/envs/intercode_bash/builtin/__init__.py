"""The built-in queries: file trees, queries about them and gold commands, generated from a seed."""

from random import Random

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.intercode_bash.builtin.queries import generate_queries
from leap_exp.envs.intercode_bash.builtin.themes import THEMES
from leap_exp.envs.intercode_bash.builtin.trees import generate_tree
from leap_exp.envs.intercode_bash.engine.queries import Collection


def generate(seed: int = 0) -> Collection:
    """Return the built-in queries, one of each family for each tree, in random order.

    The same seed gives the same queries and trees on every machine. No file name occurs in both the training and the
    test trees.
    """
    built = [generate_tree(theme, seed) for theme in THEMES]
    queries = [query for each in built for query in generate_queries(each, seed)]
    Random(derive_seed(seed, "intercode", "order")).shuffle(queries)
    return Collection(tuple(queries), {each.tree.name: each.tree for each in built})
