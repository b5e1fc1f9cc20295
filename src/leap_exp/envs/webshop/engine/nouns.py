"""Finds the nouns of product names. A catalogue stores the name of the tagger that found its nouns.

The original uses spaCy's model ``en_core_web_sm``. If it is not installed, every alphabetic word that is not a stop
word counts as a noun. Words are split like spaCy's blank English tokenizer splits them, except for contractions, web
addresses and emoticons, which are rare in names (``docs/webshop.md`` has the numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import regex

from leap_exp.envs.webshop.engine.vocabulary import words

MODEL = "en_core_web_sm"
WORDS = "alphabetic_words"

_NOUN_TAGS = frozenset({"NOUN", "PROPN"})
_BATCH = 256

STOP_WORDS = frozenset(words("noun_stop_words"))
"""spaCy's stop words that consist of letters only."""

_ABBREVIATIONS = frozenset(words("abbreviations"))
"""Tokens that are not split; their full stop or slash means that they are not alphabetic words."""

_QUOTES = "".join(map(regex.escape, words("quotes")))
_MARKS = "".join(map(regex.escape, words("marks"))) + _QUOTES + r"\p{So}"
_UNITS = "|".join(map(regex.escape, words("units")))
_DASHES = "".join(map(regex.escape, words("dashes")))
_PREFIX = regex.compile(rf"[§%=\u2013\u2014]|\+(?![0-9])|\.\.+|[{_MARKS}]|US\$|C\$|A\$|\p{{Sc}}", regex.V0)
_SUFFIX = regex.compile(
    rf"(?:\.\.+|[{_MARKS}]|['\u2019][sS]|[\u2013\u2014]|(?<=[0-9])(?:\+|\p{{Sc}}|{_UNITS})|(?<=°[FfCcKk])\."
    rf"|(?<=[0-9\p{{Ll}}%²\-+{_MARKS}])\.|(?<=\p{{Lu}}\p{{Lu}})\.)$",
    regex.V0,
)
_INFIX = regex.compile(
    rf"\.\.+|…|\p{{So}}|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[\p{{Ll}}{_QUOTES}])\.(?=[\p{{Lu}}{_QUOTES}])"
    rf"|(?<=\p{{L}}),(?=\p{{L}})|(?<=[\p{{L}}0-9])(?:---?|\u2014\u2014|[{_DASHES}]|[:<>=/])(?=\p{{L}})",
    regex.V0,
)
_WHOLE = regex.compile(r"[a-zäöü]\.|(?:[1-9]|1[0-2])[ap]m")
_ADDRESS = regex.compile(r"(?:https?://|www\.)\S+|[\w.-]+\.(?:com|net|org)(?:/\S*)?", regex.IGNORECASE)


class Tagger(Protocol):
    """Finds the nouns of texts."""

    @property
    def name(self) -> str:
        """The name that a catalogue stores."""

    def nouns(self, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Yield the nouns of each text, in lower case, in order and with repetitions."""


def best_tagger() -> Tagger:
    """Return spaCy's tagger, which the original uses, if it is installed, and the word tagger otherwise."""
    try:
        return SpacyTagger()
    except (ImportError, OSError):
        return WordTagger()


class SpacyTagger:
    """The original's tagger. It needs spaCy and its model, which is not published on the package index.

    Raises:
        ImportError: spaCy is not installed.
        OSError: The model is not installed.
    """

    def __init__(self) -> None:
        import spacy

        self._pipeline: Any = spacy.load(MODEL, disable=["parser", "ner", "lemmatizer"])
        self.name = f"{MODEL} {self._pipeline.meta['version']}"

    def nouns(self, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Yield the tokens of each text that are tagged as common or proper nouns."""
        for document in self._pipeline.pipe(texts, batch_size=_BATCH):
            yield tuple(token.text.lower() for token in document if token.pos_ in _NOUN_TAGS)


class WordTagger:
    """Takes every alphabetic word that is not a stop word for a noun."""

    name = WORDS

    def nouns(self, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Yield the words of each text, in lower case."""
        for text in texts:
            pieces = (piece.lower() for chunk in text.split() for piece in _pieces(chunk) if piece.isalpha())
            yield tuple(piece for piece in pieces if piece not in STOP_WORDS)


def _pieces(chunk: str) -> list[str]:
    """Split a text without white space into words and marks like spaCy's tokenizer; their order may differ."""
    outer: list[str] = []
    while chunk and not _is_whole(chunk):
        prefix, suffix = _PREFIX.match(chunk), _SUFFIX.search(chunk)
        if prefix:
            outer.append(prefix.group())
            chunk = chunk[prefix.end() :]
        elif suffix:
            outer.append(suffix.group())
            chunk = chunk[: suffix.start()]
        else:
            break
    if _is_whole(chunk) or _ADDRESS.fullmatch(chunk):
        return [*outer, chunk]
    return [*outer, *_INFIX.split(chunk)]


def _is_whole(chunk: str) -> bool:
    return chunk in _ABBREVIATIONS or _WHOLE.fullmatch(chunk) is not None
