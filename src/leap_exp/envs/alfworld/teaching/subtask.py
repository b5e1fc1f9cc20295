"""Parser for task sentences."""

import re
from dataclasses import dataclass
from functools import lru_cache

from leap_exp.core.errors import EnvError

TREATMENTS = {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}
"""The verbs that change an object, with the kind of receptacle that each needs."""

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
class Subtask:
    """The parts of a task sentence.

    Attributes:
        kind: Kind of the target objects, such as "mug".
        count: How many are needed.
        treatment: A verb of ``TREATMENTS`` that must be applied to them first, or None.
        place: Kind of receptacle to put them in, or None.
        lamp: Kind of lamp to look at them under, or None. Exactly one of ``place`` and ``lamp`` is given.
    """

    kind: str
    count: int
    treatment: str | None
    place: str | None
    lamp: str | None


@lru_cache(maxsize=4096)
def read_subtask(sentence: str) -> Subtask:
    """Parse a task sentence.

    Raises:
        EnvError: The sentence has none of the forms that ALFWorld uses.
    """
    text = sentence.strip().removeprefix(_PREFIX).rstrip(".").strip()
    for pattern in _PATTERNS:
        if found := pattern.fullmatch(text):
            parts = found.groupdict()
            verb = parts.get("verb")
            return Subtask(
                kind=parts["kind"],
                count=2 if parts.get("two") else 1,
                treatment=_VERBS[verb] if verb else None,
                place=parts.get("place"),
                lamp=parts.get("lamp"),
            )
    raise EnvError(f"Cannot parse the task sentence {sentence!r}; expected one like 'put a clean mug in shelf.'.")


def is_readable(sentence: str) -> bool:
    """Return whether ``read_subtask`` can parse ``sentence``."""
    try:
        read_subtask(sentence)
    except EnvError:
        return False
    return True
