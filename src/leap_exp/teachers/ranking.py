"""From a model's ranking of actions to what they are worth to it."""

from collections.abc import Mapping, Sequence

from leap_exp.core.errors import ParseError
from leap_exp.prompts.json_answers import read_steps
from leap_exp.prompts.teaching import MOST_RANKED
from leap_exp.teachers.rewriting import object_schema

_BEST: Mapping[str, object] = {"best": {"type": "array", "items": {"type": "integer"}}}

RANKING_SCHEMA = object_schema(_BEST)
"""What is asked for where the actions of one step are ranked."""
RANKINGS_SCHEMA = object_schema(
    {"rankings": {"type": "array", "items": object_schema({"step": {"type": "integer"}, **_BEST})}}
)
"""What is asked for where those of a trajectory are."""


def read_rankings(text: str, candidates: Sequence[Sequence[str]]) -> list[list[str]]:
    """The best of each step's ``candidates``, best first, from the numbers (from 1) that the model gave them.

    A step with no number of use has an empty ranking.

    Raises:
        ParseError: the form is wrong, or no number is that of a candidate.
    """
    items = read_steps(text, "rankings", len(candidates), "best")
    rankings = []
    for item, listed in zip(items, candidates, strict=True):
        if not isinstance(item["best"], list):
            raise ParseError(f"'best' has to be a list of numbers, not {item['best']!r}.")
        places = (int(place) for place in item["best"] if str(place).isdecimal())
        named = dict.fromkeys(listed[place - 1] for place in places if 1 <= place <= len(listed))
        rankings.append(list(named)[:MOST_RANKED])
    if not any(rankings):
        raise ParseError("None of its numbers is that of an action to rank.")
    return rankings


def place_values(own: str, ranking: Sequence[str], candidates: Sequence[str]) -> dict[str, float]:
    """What each of ``candidates`` is worth: its place, negated, after ``own``, the action that the model decided on.

    Those that are not ranked share the place after the last.
    """
    places = {action: -float(place) for place, action in enumerate(dict.fromkeys([own, *ranking]))}
    return {action: places.get(action, -float(len(places))) for action in candidates}
