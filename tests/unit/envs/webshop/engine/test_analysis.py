import pytest

from leap_exp.envs.webshop.engine.analysis import MAX_TOKEN_LENGTH, terms, tokens
from leap_exp.envs.webshop.engine.porter import stem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("women's t-shirts", ["women's", "t", "shirts"]),
        ("3.5 oz, 1,000 pcs a:b u.s.a. c_d", ["3.5", "oz", "1,000", "pcs", "a:b", "u.s.a", "c_d"]),
        ("1-2cm 7/8 $5.99", ["1", "2cm", "7", "8", "5.99"]),
        ("__ _ -- '", []),
        ("don\u2019t café™ naïve", ["don\u2019t", "café", "™", "naïve"]),
        ("❤❤ ☞x 🌸", ["❤", "❤", "☞", "x", "🌸"]),
        (
            "👩\u200d👩\u200d👧 👍🏽👍 1\ufe0f\u20e3 🇺🇸🇩🇪",
            ["👩\u200d👩\u200d👧", "👍🏽", "👍", "1\ufe0f\u20e3", "🇺🇸", "🇩🇪"],
        ),
        ("日本 ひ カタカナ กข", ["日", "本", "ひ", "カタカナ", "กข"]),
        ("", []),
    ],
)
def test_words_equal_those_of_lucene(text, expected):
    assert tokens(text) == expected


def test_ascii_text_is_split_the_same_next_to_other_scripts():
    text = "it's 3.5mm, foo.bar: 1,000_x a.5 5.a _b_ x:y-z"
    assert tokens(f"{text}é") == [*tokens(text)[:-1], "zé"]


def test_a_long_word_is_cut_into_pieces():
    assert [len(token) for token in tokens("x" * (MAX_TOKEN_LENGTH + 3))] == [MAX_TOKEN_LENGTH, 3]


def test_terms_are_lower_case_stems_without_stop_words():
    assert terms("The Women's Running Shoes for the GARDEN") == ["women", "run", "shoe", "garden"]
    assert terms("the and of") == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *(("caresses", "caress"), ("ponies", "poni"), ("ties", "ti"), ("cats", "cat"), ("feed", "feed")),
        *(("agreed", "agre"), ("plastered", "plaster"), ("bled", "bled"), ("sing", "sing"), ("hopping", "hop")),
        *(("falling", "fall"), ("filing", "file"), ("sized", "size"), ("happy", "happi"), ("sky", "sky")),
        *(("relational", "relat"), ("rational", "ration"), ("conformably", "conform"), ("vietnamization", "vietnam")),
        *(("triplicate", "triplic"), ("electrical", "electr"), ("goodness", "good"), ("adoption", "adopt")),
        *(("replacement", "replac"), ("adjustment", "adjust"), ("communism", "commun"), ("effective", "effect")),
        *(("rate", "rate"), ("cease", "ceas"), ("controll", "control"), ("roll", "roll"), ("analogies", "analog")),
        *(("is", "is"), ("as", "as"), ("12s", "12"), ("aed", "a"), ("ion", "ion"), ("yes", "ye")),
    ],
)
def test_stems_equal_porters(word, expected):
    assert stem(word) == expected
