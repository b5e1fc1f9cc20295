"""Porter's stemmer for English, as in Lucene's ``PorterStemFilter``.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the two changes of his later programs
(``-bli`` becomes ``-ble``, ``-logi`` becomes ``-log``). Words of one or two letters are not changed.
"""

from __future__ import annotations

_SHORTEST = 3

_DOUBLE_SUFFIXES = {
    "a": (("ational", "ate"), ("tional", "tion")),
    "c": (("enci", "ence"), ("anci", "ance")),
    "e": (("izer", "ize"),),
    "l": (("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous")),
    "o": (("ization", "ize"), ("ation", "ate"), ("ator", "ate")),
    "s": (("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous")),
    "t": (("aliti", "al"), ("iviti", "ive"), ("biliti", "ble")),
    "g": (("logi", "log"),),
}
"""Step 2, by the second last letter: the first suffix that matches is replaced."""

_FULL_SUFFIXES = {
    "e": (("icate", "ic"), ("ative", ""), ("alize", "al")),
    "i": (("iciti", "ic"),),
    "l": (("ical", "ic"), ("ful", "")),
    "s": (("ness", ""),),
}
"""Step 3, by the last letter."""

_LAST_SUFFIXES = {
    "a": ("al",),
    "c": ("ance", "ence"),
    "e": ("er",),
    "i": ("ic",),
    "l": ("able", "ible"),
    "n": ("ant", "ement", "ment", "ent"),
    "o": ("sion", "tion", "ou"),
    "s": ("ism",),
    "t": ("ate", "iti"),
    "u": ("ous",),
    "v": ("ive",),
    "z": ("ize",),
}
"""Step 4, by the second last letter; of ``-sion`` and ``-tion`` only ``-ion`` is removed."""


def stem(word: str) -> str:
    """Return the stem of a lower-case word; characters other than a, e, i, o, u and y count as consonants."""
    if len(word) < _SHORTEST:
        return word
    word = _without_plural(word)
    word = _without_past(word)
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    if len(word) > 1:
        word = _replaced(word, _DOUBLE_SUFFIXES.get(word[-2], ()))
    word = _replaced(word, _FULL_SUFFIXES.get(word[-1], ()))
    if len(word) > 1:
        word = _without_last_suffix(word)
    return _tidied(word)


def _shape(word: str) -> str:
    """Return v for each vowel and c for each consonant of ``word``; y is a vowel after a consonant."""
    shape = []
    vowel = True
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and not vowel)
        shape.append("v" if vowel else "c")
    return "".join(shape)


def _measure(word: str) -> int:
    """Return Porter's m: how often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _ends_cvc(word: str) -> bool:
    """Return whether ``word`` ends with consonant, vowel, and a consonant other than w, x and y."""
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _without_plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _without_past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        if word.endswith(suffix):
            stemmed = word[: -len(suffix)]
            return _repaired(stemmed) if "v" in _shape(stemmed) else word
    return word


def _repaired(word: str) -> str:
    """Restore a final e, or remove one of a double consonant, after -ed or -ing was removed."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _ends_double(word):
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _ends_cvc(word) else word


def _replaced(word: str, suffixes: tuple[tuple[str, str], ...]) -> str:
    for suffix, replacement in suffixes:
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            return rest + replacement if _measure(rest) > 0 else word
    return word


def _without_last_suffix(word: str) -> str:
    for suffix in _LAST_SUFFIXES.get(word[-2], ()):
        if word.endswith(suffix):
            rest = word[: -len("ion")] if suffix in ("sion", "tion") else word[: -len(suffix)]
            return rest if _measure(rest) > 1 else word
    return word


def _tidied(word: str) -> str:
    """Step 5: remove a final e and one of two final l, if the rest is long enough."""
    measure = _measure(word)
    if word.endswith("e") and (measure > 1 or (measure == 1 and not _ends_cvc(word[:-1]))):
        word = word[:-1]
    return word[:-1] if word.endswith("ll") and measure > 1 else word
