"""The prompts that describe WebShop to models."""

import re

from leap_exp.core.types import Observation
from leap_exp.envs.prompts import read_prompts, shortened

_ASIN = re.compile(r"[0-9A-Z]{10}")
_PIECE = r"(?:(?! \[SEP\] ).)*"
# For pages in mode "text". Buttons that all pages of a kind have are left out.
_RULES = (
    (re.compile(rf"\AWebShop \[SEP\] Instruction: \[SEP\] ({_PIECE}) \[SEP\] Search\Z", re.DOTALL), r"Task: \1"),
    (re.compile(rf"\AInstruction: \[SEP\] {_PIECE} \[SEP\] Back to Search \[SEP\] ", re.DOTALL), ""),
    (re.compile(r"\A(Page \d+) \(Total results: \d+\)(?: \[SEP\] < Prev)?(?: \[SEP\] Next >)?"), r"\1"),
    (re.compile(r"\A< Prev \[SEP\] "), ""),
    (re.compile(r" \[SEP\] Rating: N\.A\. \[SEP\] Description \[SEP\] Features \[SEP\] Reviews \[SEP\] Buy Now\Z"), ""),
    (re.compile(r" \[SEP\] (?=\$\d)"), " "),
    (re.compile(r" \[SEP\] "), "\n"),
)


def condense(observation: Observation) -> str:
    """Return the page without texts that all pages share, and without product ids unless results are clicked by id."""
    lines = shortened(observation, _RULES).split("\n")
    ids = [line for line in lines if _ASIN.fullmatch(line)]
    clicked_by_name = not any(observation.admits(f"click[{asin.lower()}]") for asin in ids)
    return "\n".join(line for line in lines if not (clicked_by_name and line in ids))


PROMPTS = read_prompts(__name__, condense=condense)
