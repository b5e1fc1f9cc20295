"""Reasons for actions, in varied words, from the request and what the shopper has seen alone.

Nothing here gets to see the goal: what ``explain`` says is a function of the memory, the request, the action and the
random generator, so that it cannot give away what is hidden. Only ``disclose`` does, with the product that it is
handed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from random import Random

from leap_exp.envs.webshop import pages
from leap_exp.envs.webshop.analysis import terms
from leap_exp.envs.webshop.expert import missing_terms, wanted_options
from leap_exp.envs.webshop.memory import Memory
from leap_exp.envs.webshop.request import Request
from leap_exp.envs.webshop.shop import Place

_NAMED_WORDS = 4
"""At most so many words of a request are named in one reason."""

_BUTTONS = {pages.BACK.lower(): "back", pages.NEXT.lower(): "next", pages.BUY.lower(): "buy"}
_SUBPAGES = tuple(name.lower() for name in pages.SUBPAGES)


def explain(memory: Memory, request: Request, action: str, *, rng: Random) -> str:
    """A ground for ``action`` that reveals nothing which the shopper has not seen."""
    target = action.removeprefix("click[").removesuffix("]").lower()
    move = _move(memory, action, target)
    ground, slots = _ground(memory, request, move, target)
    return _sentence(
        rng.choice(_phrases()["grounds"][ground]).format_map(slots),
        rng.choice(_phrases()["moves"][move]).format_map(slots),
    )


def disclose(action: str, *, name: str, asin: str, rng: Random) -> str:
    """A ground for ``action``, on a page before the product's own, that says outright which product to buy."""
    target = action.removeprefix("click[").removesuffix("]").lower()
    move = "search" if action.startswith("search[") else _BUTTONS.get(target, "open")
    move = "previous" if target == pages.PREVIOUS.lower() else move
    stock = _phrases()["disclosures"]
    return _sentence(rng.choice(stock["grounds"]).format(item=name, asin=asin), rng.choice(stock[move]))


def _move(memory: Memory, action: str, target: str) -> str:
    """What ``action`` is, as ``[moves]`` has it."""
    if action.startswith("search["):
        return "search"
    if target == pages.PREVIOUS.lower():
        return {Place.RESULTS: "previous", Place.ITEM: "leave"}.get(memory.page.place, "return")
    if target in _BUTTONS:
        return _BUTTONS[target]
    if target in _SUBPAGES:
        return "read"
    return "open" if memory.page.place is Place.RESULTS else "option"


def _ground(memory: Memory, request: Request, move: str, target: str) -> tuple[str, dict[str, str]]:
    """The kind of ground for a move, as ``[grounds]`` has it, and what its slots stand for."""
    missing = _named(missing_terms(memory.current, request), request) if memory.current else ""
    listing = memory.listed(target)
    matched = _named(request.terms.intersection(terms(listing.name)), request) if listing and move == "open" else ""
    slots = {
        "wanted": ", ".join(request.words[:_NAMED_WORDS]) or request.text,
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
        asked = target in wanted_options(memory.current.options, request).values()
        return ("option" if asked else "option_other"), slots
    return ("option_other" if move == "option" else move), slots


def _named(stems: Iterable[str], request: Request) -> str:
    """Some of the request's words that have the given ``stems``."""
    wanted = set(stems)
    return " ".join([word for word in request.words if wanted.intersection(terms(word))][:_NAMED_WORDS])


def _sentence(ground: str, move: str) -> str:
    text = f"{ground}, so {move}."
    return text[0].upper() + text[1:]


@cache
def _phrases() -> Mapping[str, Mapping[str, list[str]]]:
    text = files("leap_exp.envs.webshop").joinpath("phrases.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
