"""Turns text into search terms like Lucene's English analyser.

Words are found by Unicode text segmentation (UAX #29, rules WB4 to WB13) and emoji sequences (UTS #51, version 11), as
in Lucene's ``StandardTokenizer``. Then the possessive ``'s`` is removed, words are lower-cased, stop words are dropped,
and the rest is stemmed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby

import regex

from leap_exp.envs.webshop.engine.porter import stem
from leap_exp.envs.webshop.engine.vocabulary import words

STOP_WORDS = frozenset(words("search_stop_words"))
"""Lucene's English stop words."""

MAX_TOKEN_LENGTH = 255
"""Longer words are cut into pieces of this many characters."""

_CACHED_TERMS = 1 << 16

_ASCII_SPACES = re.compile(r"[ \t\n\r\f\v]+")

# Letters joined by one of :.' and digits joined by one of ,;.' are one word, and so are adjacent letters and digits.
_ASCII_WORD = re.compile(r"\w+(?:(?:(?<=[a-zA-Z])[:.'](?=[a-zA-Z])|(?<=[0-9])[,;.'](?=[0-9]))\w+)*", re.ASCII)

# Extended_Pictographic of emoji 11 to 14. It is written out, like the classes below, because newer tables move
# characters between classes, and an index must not change with a library.
_PICTOGRAPHS = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u2388\u23cf\u23e9-\u23f3"
    "\u23f8-\u23fa"
    "\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2605\u2607-\u2612\u2614-\u2685\u2690-\u2705\u2708-\u2712\u2714"
    "\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763-\u2767\u2795-\u2797\u27a1"
    "\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff"
    "\U0001f10d-\U0001f10f\U0001f12f\U0001f16c-\U0001f171\U0001f17e\U0001f17f\U0001f18e\U0001f191-\U0001f19a"
    "\U0001f1ad-\U0001f1e5\U0001f201-\U0001f20f\U0001f21a\U0001f22f\U0001f232-\U0001f23a\U0001f23c-\U0001f23f"
    "\U0001f249-\U0001f3fa\U0001f400-\U0001f53d\U0001f546-\U0001f64f\U0001f680-\U0001f6ff\U0001f774-\U0001f77f"
    "\U0001f7d5-\U0001f7ff\U0001f80c-\U0001f80f\U0001f848-\U0001f84f\U0001f85a-\U0001f85f\U0001f888-\U0001f88f"
    "\U0001f8ae-\U0001f8ff\U0001f90c-\U0001f93a\U0001f93c-\U0001f945\U0001f947-\U0001faff\U0001fc00-\U0001fffd"
)
_MID_LETTER = ":\u00b7\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a"
_MID_NUMBER = ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b"
_MID_BOTH = ".\u2018\u2019\u2024\ufe52\uff07\uff0e'"


def _word() -> str:
    """Return the pattern of a word: letters, digits and the marks allowed between them."""
    extend = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"
    letter = rf"(?:[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{extend})"
    digit = rf"(?:[\p{{WB=Numeric}}\uFF10-\uFF19]{extend})"
    katakana = rf"(?:\p{{WB=Katakana}}{extend})"
    hebrew = rf"(?:\p{{WB=Hebrew_Letter}}{extend})"
    join = rf"(?:\p{{WB=ExtendNumLet}}{extend})"
    letters = rf"{letter}(?:(?:{join}*|[{_MID_LETTER}{_MID_BOTH}]{extend}){letter})*"
    digits = rf"{digit}(?:(?:{join}*|[{_MID_NUMBER}{_MID_BOTH}]{extend}){digit})*"
    quoted = rf"{letters}(?<={hebrew})(?:'(?!{letter}){extend}|\"{extend}{hebrew})"
    group = rf"(?:{katakana}(?:{join}*{katakana})*|(?:{quoted}|{letters}|{digits})++)"
    return rf"{join}*+{group}(?:{join}++{group})*+{join}*+"


def _emoji() -> str:
    """Return the pattern of an emoji: with a skin tone, joined to others, a keycap or a flag."""
    extend = r"[[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]--[\uFE0E\uFE0F]]*"
    modifier = rf"[\U0001F3FB-\U0001F3FF]{extend}"
    unit = rf"(?:\u200D*[{_PICTOGRAPHS}]{extend}(?:{modifier}|\uFE0F?)|{modifier})"
    tags = r"[\U000E0020-\U000E007E]+\U000E007F"
    # A joiner before the next emoji may already be matched as an extension of the previous one.
    joined = rf"(?:(?:(?<=\u200D)|\u200D){unit})*"
    key = rf"[0-9#*]{extend}\uFE0F?\u20E3{extend}"
    flag = rf"(?:\p{{WB=Regional_Indicator}}{extend}){{2}}"
    return rf"{unit}(?:{tags}|{joined})|{key}|{flag}"


def _token_pattern() -> regex.Pattern[str]:
    extend = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"
    single = rf"[\p{{Script=Han}}\p{{Script=Hiragana}}]{extend}"
    complex_run = rf"(?:\p{{LB=SA}}{extend})+"
    return regex.compile(rf"(?V1){_word()}|{_emoji()}|{complex_run}|{single}")


_TOKEN = _token_pattern()


def tokens(text: str) -> list[str]:
    """Return the words of ``text``, in order and unchanged."""
    found: list[str] = []
    for is_ascii, run in groupby(_ASCII_SPACES.split(text), str.isascii):
        # No word contains an ASCII space, so the fast pattern can handle the text between other scripts.
        found += (_ASCII_WORD if is_ascii else _TOKEN).findall(" ".join(run))
    return [piece for word in found for piece in _pieces(word) if piece.strip("_")]


def terms(text: str) -> list[str]:
    """Return the search terms of ``text``, in order and with repetitions."""
    return [term for token in tokens(text) if (term := term_of(token))]


@lru_cache(_CACHED_TERMS)
def term_of(token: str) -> str:
    """Return the search term of a word; empty for a stop word."""
    if token[-2:] in ("'s", "'S", "\u2019s", "\u2019S", "\uff07s", "\uff07S"):
        token = token[:-2]
    token = token.lower()
    return "" if token in STOP_WORDS else stem(token)


def _pieces(word: str) -> list[str]:
    if len(word) <= MAX_TOKEN_LENGTH:
        return [word]
    return [word[start : start + MAX_TOKEN_LENGTH] for start in range(0, len(word), MAX_TOKEN_LENGTH)]
