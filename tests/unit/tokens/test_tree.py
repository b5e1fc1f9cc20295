"""The token tree: preorder, what follows what, and what each token sees."""

import random

import torch

from leap_exp.tokens.scoring import attention_mask, visible
from leap_exp.tokens.tree import ROOT, TokenTree

SEQUENCES = [(1, 2, 9), (3, 9), (1, 4, 5, 9), (1, 2, 7, 9)]


def path(tree, place):
    """Return the places from the root to ``place``."""
    places = []
    while place != ROOT:
        places.append(place)
        place = tree.parents[place]
    return places[::-1]


def test_a_tree_holds_its_sequences_and_shares_their_beginnings():
    tree = TokenTree.of(SEQUENCES)
    leaves = [place for place in range(len(tree)) if not tree.children(place)]
    assert {tuple(tree.tokens[step] for step in path(tree, leaf)) for leaf in leaves} == set(SEQUENCES)
    assert len(tree) == 10
    assert tree.options((1, 2, 7, 9)) == [(1, 3), (2, 4), (9, 7), (9,)]


def test_children_keep_the_order_of_the_sequences():
    assert list(TokenTree.of(SEQUENCES).children(ROOT)) == [1, 3]


def test_an_empty_tree_has_no_tokens():
    assert len(TokenTree.of([])) == 0


def test_each_token_sees_itself_and_those_before_it_in_its_sequence():
    rng = random.Random(0)
    for _ in range(50):
        sequences = [(*(rng.randrange(3) for _ in range(rng.randrange(1, 7))), 9) for _ in range(8)]
        tree = TokenTree.of(sequences)
        seen = visible(torch.tensor(tree.ends))
        for place in range(len(tree)):
            before = path(tree, place)
            assert seen[place].nonzero()[:, 0].tolist() == before
            assert tree.depths[place] == len(before) - 1


def test_the_mask_hides_branches_from_everything_after_them():
    # A trunk of three tokens; after its second hangs a branch of two, after its third a branch of one.
    tree = TokenTree(tokens=(1, 2, 5, 6, 3, 7), parents=(-1, 0, 1, 2, 1, 4))
    allowed = attention_mask(tree.ends, 6, torch.float32)[0] == 0
    assert allowed.tolist() == [
        [True, False, False, False, False, False],
        [True, True, False, False, False, False],
        [True, True, True, False, False, False],
        [True, True, True, True, False, False],
        [True, True, False, False, True, False],
        [True, True, False, False, True, True],
    ]


def test_no_token_sees_padding():
    tree = TokenTree(tokens=(1, 2), parents=(-1, 0))
    allowed = attention_mask(tree.ends, 4, torch.float32)[0] == 0
    assert not allowed[:2, 2:].any()
