import sys

import pytest

from leap_exp.envs.webshop.engine.nouns import WORDS, SpacyTagger, WordTagger, best_tagger

NAMES = [
    "SWAGOFKGys Travel Toothbrushes\uff0c Double Side (Color : Yellow)",
    "Women's T-Shirt, 3-Pack w/o Sleeves and/or Hood",
    'Throw Pillow 16" X 16", Grey/Purple (Pack of 2)',
    "28in x 30cm 2.5oz 12V USB-C Cable.Fast Charging+Data",
    "St. Patrick's Day U.S.A. Dr. Smith Co. No. 5 a. b.",
    "\u3010Soft\u3011Material:Cotton\u201cBest\u201d... wow--great \u2013 ok\u2014fine \u2764 love",
    "100% Cotton &amp; Linen, A+B 8am 9 am $5.99 each",
    "",
]


def test_words_are_split_and_stop_words_dropped():
    nouns = list(WordTagger().nouns(["Women's T-Shirt, 3-Pack with a Hood (Navy)", "the of"]))
    assert [sorted(each) for each in nouns] == [["hood", "navy", "pack", "shirt", "t", "women"], []]


@pytest.mark.parametrize("name", NAMES)
def test_words_equal_those_of_spacys_tokenizer(name):
    spacy = pytest.importorskip("spacy", reason="the comparison needs the extra webshop")
    tokens = spacy.blank("en")(name)
    expected = sorted(token.text.lower() for token in tokens if token.is_alpha and not token.is_stop)
    assert sorted(next(WordTagger().nouns([name]))) == expected


def test_without_the_model_all_words_count_as_nouns(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert best_tagger().name == WORDS


def test_the_model_finds_nouns():
    pytest.importorskip("en_core_web_sm", reason="the original's tagger is not installed")
    tagger = SpacyTagger()
    assert tagger.name.startswith("en_core_web_sm ")
    assert "mug" in next(tagger.nouns(["a blue coffee mug"]))
