"""The text space over all of Unicode does what Gymnasium's own does with a table."""

import pickle
import string
from copy import deepcopy

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Text, flatten, flatten_space, unflatten
from gymnasium.vector.utils import (
    batch_space,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from leap_exp.interfaces.gymnasium.spaces import UnicodeText

TEXTS = ["", "a", "Zeile\n\t1", "日本語 \U0001f4bb \ufffd", "\0", "\ud7ff\ue000", "\U0010ffff"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_survives_flattening_and_shared_memory(text):
    space = UnicodeText(12)
    assert text in space
    assert unflatten(space, flatten(space, text)) == text
    assert flatten(space, text) in flatten_space(space)
    memory = create_shared_memory(space, n=2)
    read = read_from_shared_memory(space, memory, n=2)
    write_to_shared_memory(space, 0, "other", memory)
    write_to_shared_memory(space, 1, text, memory)
    copied = deepcopy(read)
    write_to_shared_memory(space, 0, "later", memory)
    assert copied == ("other", text)
    assert copied in batch_space(space, 2)
    assert list(read) == ["later", text]


def test_flattening_is_that_of_gymnasium():
    """Over a part of Unicode that begins with its first character, the places are the same."""
    theirs = Text(20, min_length=0, charset="".join(map(chr, range(128))))
    text = string.printable[40:60]
    assert flatten(UnicodeText(20), text).tolist() == flatten(theirs, text).tolist()


def test_each_character_has_its_place():
    space = UnicodeText(5)
    for char in ("\0", "z", "\ud7ff", "\ue000", "\U0010ffff"):
        assert char in space.character_set
        assert space.character_list[space.character_index(char)] == char
    assert space.character_list[-1] == "\U0010ffff"
    assert list(space.character_list[97:100]) == ["a", "b", "c"]
    assert space.characters[:3] == "\0\x01\x02"
    assert len(space.characters) == len(space.character_set) == 0x110000 - 0x800


@pytest.mark.parametrize("other", ["x" * 13, "\ud800", 5, None, b"x"])
def test_what_is_no_text_of_the_space(other):
    assert other not in UnicodeText(12)


def test_samples_are_in_the_space_and_follow_the_seed():
    space = UnicodeText(40)
    space.seed(3)
    drawn = [space.sample() for _ in range(200)]
    assert all(text in space for text in drawn)
    assert {len(text) for text in drawn} >= {0, 40}
    space.seed(3)
    assert [space.sample() for _ in range(200)] == drawn
    mask = np.zeros(len(space.character_set), dtype=np.int8)
    mask[ord("q")] = 1
    assert space.sample((5, mask)) == "qqqqq"


def test_copies_are_equal_and_small():
    space = UnicodeText(40)
    assert deepcopy(space) == space == pickle.loads(pickle.dumps(space))
    assert space != UnicodeText(41)
    assert len(pickle.dumps(space)) < 2000
    assert repr(space) == "UnicodeText(40)"
    assert create_empty_array(space, 2) == ("", "")
    assert ("a", "ü") in batch_space(space, 2)
    assert isinstance(space, gymnasium.spaces.Text)
