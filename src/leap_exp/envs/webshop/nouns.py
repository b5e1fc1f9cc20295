"""The nouns of product names, by a tagger that a catalogue names.

The original tags with spaCy's ``en_core_web_sm``. Where that model is not installed, every alphabetic word that is no
stop word counts as a noun; words are cut as spaCy's blank English tokenizer cuts them, but for contractions, web
addresses and emoticons, which hardly occur in names (``docs/webshop.md`` has the count).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import regex

from leap_exp.envs.webshop.vocabulary import words

MODEL = "en_core_web_sm"
WORDS = "alphabetic_words"

_NOUN_TAGS = frozenset({"NOUN", "PROPN"})
_BATCH = 256

STOP_WORDS = frozenset(words("noun_stop_words"))
"""Those of spaCy that are letters alone."""

_ABBREVIATIONS = frozenset(words("abbreviations"))
"""Not cut any further, and for their full stop or slash no alphabetic word."""

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
    """Finds nouns."""

    @property
    def name(self) -> str:
        """What a catalogue calls this tagger."""

    def nouns(self, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """The nouns of each text, in lower case, in order and with repetitions."""


def best_tagger() -> Tagger:
    """The original's tagger, spaCy's model, if it is installed, else the one that counts words."""
    try:
        return SpacyTagger()
    except (ImportError, OSError):
        return WordTagger()


class SpacyTagger:
    """The original's tagger; needs spaCy and its model, which its makers publish outside the package index.

    Raises:
        ImportError: spaCy is not installed.
        OSError: Its model is not.
    """

    def __init__(self) -> None:
        import spacy

        self._pipeline: Any = spacy.load(MODEL, disable=["parser", "ner", "lemmatizer"])
        self.name = f"{MODEL} {self._pipeline.meta['version']}"

    def nouns(self, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Tokens tagged as common or proper nouns."""
        for document in self._pipeline.pipe(texts, batch_size=_BATCH):
            yield tuple(token.text.lower() for token in document if token.pos_ in _NOUN_TAGS)


class WordTagger:
    """Takes every alphabetic word that is no stop word for a noun."""

    name = WORDS

    def nouns(self, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Words, in lower case."""
        for text in texts:
            pieces = (piece.lower() for chunk in text.split() for piece in _pieces(chunk) if piece.isalpha())
            yield tuple(piece for piece in pieces if piece not in STOP_WORDS)


def _pieces(chunk: str) -> list[str]:
    """The words and marks of a run without white space, as spaCy's tokenizer cuts it; their order may differ."""
    outer: list[str] = []
    while chunk and not _kept(chunk):
        prefix, suffix = _PREFIX.match(chunk), _SUFFIX.search(chunk)
        if prefix:
            outer.append(prefix.group())
            chunk = chunk[prefix.end() :]
        elif suffix:
            outer.append(suffix.group())
            chunk = chunk[: suffix.start()]
        else:
            break
    if _kept(chunk) or _ADDRESS.fullmatch(chunk):
        return [*outer, chunk]
    return [*outer, *_INFIX.split(chunk)]


def _kept(chunk: str) -> bool:
    return chunk in _ABBREVIATIONS or _WHOLE.fullmatch(chunk) is not None
