"""Observations in fewer words: what they only repeat of the action that led to them is left out.

A reader of a transcript loses nothing by it, for the action stands on the line above. A model reads, and is trained on,
about half as many tokens.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from leap_exp.core.types import Observation

Rule = tuple[re.Pattern[str], str]

_NAME = r"[a-z]+ \d+"
_ASIN = re.compile(r"[0-9A-Z]{10}")
_ALFWORLD: Sequence[Rule] = (
    (re.compile(r"\A-= Welcome to TextWorld, ALFRED! =-\s*"), ""),
    (re.compile(r"\AYou are in the middle of a room\. Looking quickly around you, you see"), "Room:"),
    (re.compile(r"\n+Your task is to: "), "\nTask: "),
    (re.compile(rf"\AYou arrive at ({_NAME})\. On the \1, you see"), "You see"),
    (re.compile(rf"\AYou (?:arrive at|open the) ({_NAME})\. The \1 is open\. In it, you see"), "You see"),
    (re.compile(rf"\AYou arrive at ({_NAME})\. The \1 is closed\.\Z"), "Closed."),
    (re.compile(rf"\AYou (?:pick up|move|put|clean|heat|cool|turn on|close|slice) the {_NAME}\b[^.]*\.\Z"), "Done."),
    (re.compile(rf",? and an? (?={_NAME})"), ", "),
    (re.compile(rf"\ban? (?={_NAME})"), ""),
)
_PIECE = r"(?:(?! \[SEP\] ).)*"
# For pages written in the mode "text"; the buttons that every page of a kind has are left out.
_WEBSHOP: Sequence[Rule] = (
    (re.compile(rf"\AWebShop \[SEP\] Instruction: \[SEP\] ({_PIECE}) \[SEP\] Search\Z", re.DOTALL), r"Task: \1"),
    (re.compile(rf"\AInstruction: \[SEP\] {_PIECE} \[SEP\] Back to Search \[SEP\] ", re.DOTALL), ""),
    (re.compile(r"\A(Page \d+) \(Total results: \d+\)(?: \[SEP\] < Prev)?(?: \[SEP\] Next >)?"), r"\1"),
    (re.compile(r"\A< Prev \[SEP\] "), ""),
    (re.compile(r" \[SEP\] Rating: N\.A\. \[SEP\] Description \[SEP\] Features \[SEP\] Reviews \[SEP\] Buy Now\Z"), ""),
    (re.compile(r" \[SEP\] (?=\$\d)"), " "),
    (re.compile(r" \[SEP\] "), "\n"),
)


def condense(observation: Observation, *, environment: str) -> str:
    """The text of an observation of ``environment``, in fewer words; as it is for an environment without rules."""
    shorten = _CONDENSERS.get(environment)
    return shorten(observation) if shorten else observation.text.strip()


def _condense_alfworld(observation: Observation) -> str:
    return _rewritten(observation, _ALFWORLD)


def _condense_webshop(observation: Observation) -> str:
    """A page without what all pages have; of results, without their ids too, unless it is these that are clicked."""
    lines = _rewritten(observation, _WEBSHOP).split("\n")
    ids = [line for line in lines if _ASIN.fullmatch(line)]
    by_name = not any(observation.admits(f"click[{asin.lower()}]") for asin in ids)
    return "\n".join(line for line in lines if not (by_name and line in ids))


def _rewritten(observation: Observation, rules: Sequence[Rule]) -> str:
    text = observation.text.strip()
    for pattern, short in rules:
        text = pattern.sub(short, text)
    return text


_CONDENSERS: Mapping[str, Callable[[Observation], str]] = {
    "alfworld": _condense_alfworld,
    "webshop": _condense_webshop,
}
