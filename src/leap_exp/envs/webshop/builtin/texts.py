"""Writes the texts of the built-in shop: names, pages and prices of products, and instructions."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from leap_exp.envs.webshop.builtin.departments import Attribute, read_table
from leap_exp.envs.webshop.builtin.draft import Draft

MAX_INSTRUCTIONS = 3
"""Maximum number of human instructions for a product."""

_SMALL_WORDS = frozenset({"with", "for", "and", "of", "x"})
_ACRONYMS = frozenset({"bpa", "gmo", "hdmi", "usb"})

_IN_BULLETS_SHARE = 5 / 6
"""Share of unnamed attributes in the bullet points; the description, which search covers, states the rest."""

_MAX_LEADING = 2
"""Maximum number of attributes directly before the noun in a name; more follow after a comma."""

_PLAIN_COUNTS = {2: 5, 3: 3, 4: 1}
_HUMAN_COUNTS = {1: 1, 2: 4, 3: 4}
"""Weights of the number of attributes in an instruction, for plain and for human ones."""

_TRIES = 20


def product_name(draft: Draft, rng: Random) -> str:
    """Return a name of 8 to 14 words: brand, style, noun and the named attributes."""
    before, having, meant_for = (_placed(draft.named, place) for place in ("before", "with", "for"))
    lead = rng.randint(0, min(_MAX_LEADING, len(before)))
    parts = [draft.brand, draft.style, *before[:lead], draft.kind.noun]
    if having:
        parts.append("with " + ", ".join(having))
    if meant_for:
        parts.append("for " + ", ".join(meant_for))
    name = capitalised(" ".join(parts))
    return ", ".join([name, *(capitalised(words) for words in before[lead:])])


def page_texts(draft: Draft, rng: Random) -> tuple[list[str], str]:
    """Return the bullet points (3 to 5) and the description; one of them states each unnamed attribute.

    The first bullet point states no attribute. Search covers only this one, so most unnamed attributes can only be
    found by opening the product's page. The description repeats a named attribute, as sellers do, which raises the
    product in searches that it does not answer better than others.
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
    """Return ``$9.99``, or ``$9.99 - $12.49`` for a range."""
    return " - ".join(f"${price:.2f}" for price in prices)


def capitalised(text: str) -> str:
    """Capitalise each word of ``text``, except for the small words of a title."""
    return " ".join(_capitalised_word(word) for word in text.split(" "))


def plain_instruction(draft: Draft, rng: Random) -> tuple[str, list[str]]:
    """Return ``Find me ...`` and the attributes in it; the environment adds options and the price limit."""
    wanted = _draw_wanted(draft, _PLAIN_COUNTS, rng)
    return f"Find me {_phrase(draft.kind.query, wanted)}", [attribute.words for attribute in wanted]


def human_instructions(draft: Draft, asin: str, rng: Random) -> list[dict[str, Any]]:
    """Return up to ``MAX_INSTRUCTIONS`` instructions for the product, each with different attributes and options."""
    instructions: dict[tuple[frozenset[str], frozenset[str]], dict[str, Any]] = {}
    for _ in range(_TRIES):
        wanted = _draw_wanted(draft, _HUMAN_COUNTS, rng)
        names = [name for name in draft.options if rng.random() < 2 / 3]
        values = {name: rng.choice(draft.options[name]) for name in names}
        words = [attribute.words for attribute in wanted]
        instruction = {
            "asin": asin,
            "instruction": _human_text(draft, wanted, values, rng),
            "attributes": [attribute.words for attribute in draft.attributes],
            "options": [f"{name}: {value}" for name, value in values.items()],
            "instruction_attributes": words,
            "instruction_options": list(values.values()),
            "assignment_id": f"builtin-{asin}-{len(instructions)}",
            "worker_id": "builtin",
        }
        instructions.setdefault((frozenset(words), frozenset(values.values())), instruction)
        if len(instructions) == MAX_INSTRUCTIONS:
            break
    return list(instructions.values())


def _draw_wanted(draft: Draft, weights: Mapping[int, int], rng: Random) -> list[Attribute]:
    (count,) = rng.choices(list(weights), weights=list(weights.values()))
    return rng.sample(draft.attributes, min(count, len(draft.attributes)))


def _human_text(draft: Draft, wanted: Sequence[Attribute], values: Mapping[str, str], rng: Random) -> str:
    """Return an instruction in lower case without a final full stop.

    The first attributes, a random number of them, go into a separate sentence, the rest beside the noun.
    """
    apart = rng.randint(0, len(wanted))
    wishes = [_wish(attribute) for attribute in wanted[:apart]]
    described = _phrase(draft.kind.noun, wanted[apart:])
    phrases = read_table("instructions.toml")["options"]
    details = [rng.choice(phrases[name]).format(value=value) for name, value in values.items()]
    thing = ", ".join([" ".join([_article(draft.kind.article, described), described]), *details])
    opening: str = rng.choice(read_table("instructions.toml")["openings"])
    text = opening.format(thing=thing)
    if not wishes:
        return text
    pronoun = "they" if draft.kind.plural else "it"
    joint = "" if text.endswith("?") else "."
    return f"{text}{joint} {pronoun} should {' and '.join(wishes)}"


def _phrase(noun: str, attributes: Sequence[Attribute]) -> str:
    """Put attributes around ``noun``, as in ``easy clean, non slip rugs with cotton cover for living room``."""
    before, having, meant_for = (_placed(attributes, place) for place in ("before", "with", "for"))
    parts = [", ".join(before), noun]
    parts += ["with " + ", ".join(having)] if having else []
    parts += ["for " + ", ".join(meant_for)] if meant_for else []
    return " ".join(part for part in parts if part)


def _placed(attributes: Iterable[Attribute], place: str) -> list[str]:
    """Return the words of those ``attributes`` that go to ``place``, in order."""
    return [attribute.words for attribute in attributes if attribute.place == place]


def _wish(attribute: Attribute) -> str:
    verb = {"before": "be", "with": "have", "for": "be good for"}[attribute.place]
    return f"{verb} {attribute.asked}"


def _article(article: str, following: str) -> str:
    """Return ``article``; choose between ``a`` and ``an`` by the first letter of ``following``."""
    if article not in {"a", "an"}:
        return article
    return "an" if following[0] in "aeiou" else "a"


def _capitalised_word(word: str) -> str:
    if word in _SMALL_WORDS:
        return word
    return word.upper() if word in _ACRONYMS else word[:1].upper() + word[1:]
