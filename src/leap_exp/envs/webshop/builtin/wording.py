"""What a product's page says: its name, bullet points, description and price."""

from collections.abc import Iterable, Sequence
from random import Random

from leap_exp.envs.webshop.builtin.departments import Attribute
from leap_exp.envs.webshop.builtin.draft import Draft

_SMALL_WORDS = frozenset({"with", "for", "and", "of", "x"})
_ACRONYMS = frozenset({"bpa", "gmo", "hdmi", "usb"})

_IN_BULLETS_SHARE = 5 / 6
"""The share of unnamed attributes that the bullet points state; the description, which is searched, states the rest."""

_LEADING = 2
"""The most attributes that stand directly before the noun in a name; further ones follow after a comma."""


def product_name(draft: Draft, rng: Random) -> str:
    """Brand, style, noun and the named attributes, 8 to 14 words."""
    before, having, meant_for = (placed(draft.named, place) for place in ("before", "with", "for"))
    lead = rng.randint(0, min(_LEADING, len(before)))
    parts = [draft.brand, draft.style, *before[:lead], draft.kind.noun]
    if having:
        parts.append("with " + ", ".join(having))
    if meant_for:
        parts.append("for " + ", ".join(meant_for))
    name = capitalised(" ".join(parts))
    return ", ".join([name, *(capitalised(words) for words in before[lead:])])


def page_texts(draft: Draft, rng: Random) -> tuple[list[str], str]:
    """The bullet points (3 to 5) and the description; each unnamed attribute is stated in one of the two.

    The first bullet point states nothing: it is the only one that the search engine reads, and most unnamed attributes
    are to be found by opening the product's page alone. The description repeats a named one, as sellers do, and so
    lifts the product in searches that it answers no better than others.
    """
    in_bullets = [attribute for attribute in draft.unnamed if rng.random() < _IN_BULLETS_SHARE]
    in_text = [attribute for attribute in draft.unnamed if attribute not in in_bullets]
    for_bullets, for_text = rng.sample(draft.named, 2)
    first, *facts = rng.sample(draft.kind.facts, len(draft.kind.facts))
    stated = [attribute.says for attribute in (*in_bullets, for_bullets)]
    rng.shuffle(stated)
    opening = f"The {draft.style} {draft.kind.noun} by {draft.brand}"
    described = [attribute.says for attribute in (for_text, *in_text)]
    rng.shuffle(described)
    return [first, *stated, facts[0]], ". ".join([opening, *described]) + "."


def price_text(prices: Sequence[float]) -> str:
    """``$9.99``, or ``$9.99 - $12.49`` for a range."""
    return " - ".join(f"${price:.2f}" for price in prices)


def capitalised(text: str) -> str:
    """``text`` with a capital at the start of each word, but for the small words of a title."""
    return " ".join(_capitalised_word(word) for word in text.split(" "))


def _capitalised_word(word: str) -> str:
    if word in _SMALL_WORDS:
        return word
    return word.upper() if word in _ACRONYMS else word[:1].upper() + word[1:]


def placed(attributes: Iterable[Attribute], place: str) -> list[str]:
    """The words of those ``attributes`` that stand at ``place``, in order."""
    return [attribute.words for attribute in attributes if attribute.place == place]
