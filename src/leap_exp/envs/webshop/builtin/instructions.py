"""Instructions: the plain form that the shop composes itself, and the varied ones of human shoppers."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from leap_exp.envs.webshop.builtin.departments import Attribute, read_table
from leap_exp.envs.webshop.builtin.draft import Draft
from leap_exp.envs.webshop.builtin.wording import placed

INSTRUCTIONS_A_PRODUCT = 3
"""How many human instructions ask for a product."""

_ASKED_COUNTS = {2: 5, 3: 3, 4: 1}
_HUMAN_COUNTS = {1: 1, 2: 4, 3: 4}
"""Weights of the number of attributes that an instruction asks for, in the plain form and in the human ones."""

_TRIES = 20


def plain_instruction(draft: Draft, rng: Random) -> tuple[str, list[str]]:
    """``Find me ...`` and the attributes it asks for; the environment adds options and the price limit."""
    asked = _draw_asked(draft, _ASKED_COUNTS, rng)
    return f"Find me {_phrase(draft.kind.query, asked)}", [attribute.words for attribute in asked]


def human_instructions(draft: Draft, asin: str, rng: Random) -> list[dict[str, Any]]:
    """Up to ``INSTRUCTIONS_A_PRODUCT`` requests for the product, no two for the same attributes and options."""
    requests: dict[tuple[frozenset[str], frozenset[str]], dict[str, Any]] = {}
    for _ in range(_TRIES):
        asked = _draw_asked(draft, _HUMAN_COUNTS, rng)
        names = [name for name in draft.options if rng.random() < 2 / 3]
        chosen = {name: rng.choice(draft.options[name]) for name in names}
        words = [attribute.words for attribute in asked]
        request = {
            "asin": asin,
            "instruction": _human_text(draft, asked, chosen, rng),
            "attributes": [attribute.words for attribute in draft.attributes],
            "options": [f"{name}: {value}" for name, value in chosen.items()],
            "instruction_attributes": words,
            "instruction_options": list(chosen.values()),
            "assignment_id": f"builtin-{asin}-{len(requests)}",
            "worker_id": "builtin",
        }
        requests.setdefault((frozenset(words), frozenset(chosen.values())), request)
        if len(requests) == INSTRUCTIONS_A_PRODUCT:
            break
    return list(requests.values())


def _draw_asked(draft: Draft, weights: Mapping[int, int], rng: Random) -> list[Attribute]:
    (count,) = rng.choices(list(weights), weights=list(weights.values()))
    return rng.sample(draft.attributes, min(count, len(draft.attributes)))


def _phrase(noun: str, asked: Sequence[Attribute]) -> str:
    """The attributes around ``noun``: ``easy clean, non slip rugs with cotton cover for living room``."""
    before, having, meant_for = (placed(asked, place) for place in ("before", "with", "for"))
    parts = [", ".join(before), noun]
    parts += ["with " + ", ".join(having)] if having else []
    parts += ["for " + ", ".join(meant_for)] if meant_for else []
    return " ".join(part for part in parts if part)


def _human_text(draft: Draft, asked: Sequence[Attribute], chosen: Mapping[str, str], rng: Random) -> str:
    """A request in lower case without a full stop, its attributes beside the noun or in a sentence of their own."""
    apart = rng.randint(0, len(asked))
    wishes = [_wish(attribute) for attribute in asked[:apart]]
    described = _phrase(draft.kind.noun, asked[apart:])
    phrases = read_table("instructions.toml")["options"]
    details = [rng.choice(phrases[name]).format(value=value) for name, value in chosen.items()]
    thing = ", ".join([" ".join([_article(draft.kind.article, described), described]), *details])
    opening: str = rng.choice(read_table("instructions.toml")["openings"])
    text = opening.format(thing=thing)
    if not wishes:
        return text
    pronoun = "they" if draft.kind.plural else "it"
    joint = "" if text.endswith("?") else "."
    return f"{text}{joint} {pronoun} should {' and '.join(wishes)}"


def _wish(attribute: Attribute) -> str:
    verb = {"before": "be", "with": "have", "for": "be good for"}[attribute.place]
    return f"{verb} {attribute.asked}"


def _article(article: str, following: str) -> str:
    """``article`` with ``a`` and ``an`` told apart by the letter that follows."""
    if article not in {"a", "an"}:
        return article
    return "an" if following[0] in "aeiou" else "a"
