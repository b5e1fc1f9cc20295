"""What a task sentence asks for, read from the sentence alone."""

import re
from dataclasses import dataclass
from functools import lru_cache

from leap_exp.core.errors import EnvError

TREATMENTS = {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}
"""The verbs that change an object, each with the kind of receptacle it is done at."""

_PREFIX = "Your task is to: "
_VERBS = {"clean": "clean", "hot": "heat", "heat": "heat", "cool": "cool"}
_PATTERNS = (
    re.compile(r"(?:put|find) (?P<two>two) (?P<kind>\w+) (?:and put them )?(?:in|on|in/on) (?P<place>\w+)"),
    re.compile(r"put (?:a|an|some) (?P<verb>clean|hot|cool) (?P<kind>\w+) (?:in|on|in/on) (?P<place>\w+)"),
    re.compile(r"(?P<verb>clean|heat|cool) (?:a|an|some) (?P<kind>\w+) and put it (?:in|on|in/on) (?P<place>\w+)"),
    re.compile(r"put (?:a|an|some) (?P<kind>\w+) (?:in|on|in/on) (?P<place>\w+)"),
    re.compile(r"(?:look at|examine) (?:the |a |an |some )?(?P<kind>\w+) (?:under|with) the (?P<lamp>\w+)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A task sentence in parts.

    ``kind`` is the kind of object wanted and ``count`` how many; ``treatment`` is a verb of ``TREATMENTS`` or None.
    Either ``place`` is the kind of receptacle to put it in, or ``lamp`` the kind of lamp to look at it under.
    """

    kind: str
    count: int
    treatment: str | None
    place: str | None
    lamp: str | None


@lru_cache(maxsize=4096)
def read_errand(sentence: str) -> Errand:
    """The errand that ``sentence`` describes.

    Raises:
        EnvError: The sentence has none of the forms that ALFWorld's games use.
    """
    text = sentence.strip().removeprefix(_PREFIX).rstrip(".").strip()
    for pattern in _PATTERNS:
        if found := pattern.fullmatch(text):
            parts = found.groupdict()
            verb = parts.get("verb")
            return Errand(
                kind=parts["kind"],
                count=2 if parts.get("two") else 1,
                treatment=_VERBS[verb] if verb else None,
                place=parts.get("place"),
                lamp=parts.get("lamp"),
            )
    raise EnvError(f"Task sentence {sentence!r} has no known form; expected one like 'put a clean mug in shelf.'.")
