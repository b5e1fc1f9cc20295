"""The loading of templates and their filters."""

from leap_exp.tokens.templating import LONGEST_TEXT, shortened


def test_a_long_text_is_shortened_to_its_ends():
    text = "a" * LONGEST_TEXT + "b" * 500
    assert shortened(text[:LONGEST_TEXT]) == "a" * LONGEST_TEXT
    short = shortened(text)
    assert short.startswith("a" * (LONGEST_TEXT // 2) + "\n[500 characters left out]\n")
    assert short.endswith("b" * 500)
