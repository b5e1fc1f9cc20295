"""Reasons for actions, in varied words.

``explain`` only depends on the memory, the instruction, the action and the random generator, so it cannot reveal
anything hidden. Only ``reveal`` does; it is given the product.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from random import Random

from leap_exp.envs.webshop.engine import pages
from leap_exp.envs.webshop.engine.analysis import terms
from leap_exp.envs.webshop.engine.shop import PageKind
from leap_exp.envs.webshop.teaching.expert import missing_terms, wanted_options
from leap_exp.envs.webshop.teaching.instruction import ParsedInstruction
from leap_exp.envs.webshop.teaching.memory import Memory

_MAX_NAMED_WORDS = 4
"""Maximum number of words of an instruction that one reason names."""

_BUTTONS = {pages.BACK.lower(): "back", pages.NEXT.lower(): "next", pages.BUY.lower(): "buy"}
_SUBPAGES = tuple(name.lower() for name in pages.SUBPAGES)


def explain(memory: Memory, instruction: ParsedInstruction, action: str, *, rng: Random) -> str:
    """Return a reason for ``action`` that reveals nothing which the shopper has not seen."""
    target = action.removeprefix("click[").removesuffix("]").lower()
    move = _move(memory, action, target)
    ground, slots = _ground(memory, instruction, move, target)
    return _sentence(
        rng.choice(_phrases()["grounds"][ground]).format_map(slots),
        rng.choice(_phrases()["moves"][move]).format_map(slots),
    )


def reveal(action: str, *, name: str, asin: str, rng: Random) -> str:
    """Return a reason for ``action`` that names the product to buy, for pages before the product's own."""
    target = action.removeprefix("click[").removesuffix("]").lower()
    move = "search" if action.startswith("search[") else _BUTTONS.get(target, "open")
    move = "previous" if target == pages.PREVIOUS.lower() else move
    phrases = _phrases()["disclosures"]
    return _sentence(rng.choice(phrases["grounds"]).format(item=name, asin=asin), rng.choice(phrases[move]))


def _move(memory: Memory, action: str, target: str) -> str:
    """Return the key of ``action`` in ``[moves]``."""
    if action.startswith("search["):
        return "search"
    if target == pages.PREVIOUS.lower():
        return {PageKind.RESULTS: "previous", PageKind.ITEM: "leave"}.get(memory.page.kind, "return")
    if target in _BUTTONS:
        return _BUTTONS[target]
    if target in _SUBPAGES:
        return "read"
    return "open" if memory.page.kind is PageKind.RESULTS else "option"


def _ground(memory: Memory, instruction: ParsedInstruction, move: str, target: str) -> tuple[str, dict[str, str]]:
    """Return the key of the move's ground in ``[grounds]``, and the values of its slots."""
    missing = _named(missing_terms(memory.current, instruction), instruction) if memory.current else ""
    listing = memory.listed(target) if move == "open" else None
    matched = _named(instruction.terms.intersection(terms(listing.name)), instruction) if listing else ""
    slots = {
        "wanted": ", ".join(instruction.words[:_MAX_NAMED_WORDS]) or instruction.text,
        "missing": missing,
        "matched": matched,
        "value": target,
        "page": f"the {target}" if target in _SUBPAGES else "",
    }
    if move == "open":
        return ("open_matching" if matched else "open_other"), slots
    if move == "read":
        return ("read" if missing else "read_other"), slots
    if move == "leave":
        return ("leave_missing" if missing else "leave_other"), slots
    if move == "option" and memory.current:
        wanted = target in wanted_options(memory.current.options, instruction).values()
        return ("option" if wanted else "option_other"), slots
    return ("option_other" if move == "option" else move), slots


def _named(stems: Iterable[str], instruction: ParsedInstruction) -> str:
    """Return the first words of the instruction that have one of the ``stems``."""
    wanted = set(stems)
    return " ".join([word for word in instruction.words if wanted.intersection(terms(word))][:_MAX_NAMED_WORDS])


def _sentence(ground: str, move: str) -> str:
    text = f"{ground}, so {move}."
    return text[0].upper() + text[1:]


@cache
def _phrases() -> Mapping[str, Mapping[str, list[str]]]:
    return tomllib.loads(files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8"))
