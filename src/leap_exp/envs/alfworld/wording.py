"""Nouns in sentences: articles, plurals and prepositions for ALFWorld's kinds of things."""

_UNCOUNTED = frozenset({"bread", "lettuce", "toiletpaper"})
_PLURALS = {"knife": "knives", "butterknife": "butterknives", "shelf": "shelves"}
_INSIDE = frozenset(
    {
        "bathtubbasin",
        "cabinet",
        "cart",
        "drawer",
        "fridge",
        "garbagecan",
        "laundryhamper",
        "microwave",
        "safe",
        "sinkbasin",
    }
)


def with_article(kind: str) -> str:
    """``a mug``, ``an apple``, ``some bread``."""
    if kind in _UNCOUNTED:
        return f"some {kind}"
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def plural(kind: str) -> str:
    """``mugs``, ``shelves``, ``bread``."""
    if kind in _UNCOUNTED:
        return kind
    if kind in _PLURALS:
        return _PLURALS[kind]
    return f"{kind}es" if kind.endswith(("ch", "sh", "x", "o", "s")) else f"{kind}s"


def preposition(place_kind: str) -> str:
    """``in`` for what things are put into, ``on`` for what they are put onto."""
    return "in" if place_kind in _INSIDE else "on"


def sentence(*clauses: str) -> str:
    """``clauses``, joined as they are, as a sentence: a capital first and a full stop last."""
    text = "".join(clauses)
    return f"{text[0].upper()}{text[1:]}."
