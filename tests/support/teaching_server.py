"""Scripts that make the scripted server a teacher: it reads the request and answers with corrections or rankings.

with fault_server(teaching()) as server:
    ...        # every step gets a different admissible action if there is one
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.fault_server import Answer, answer

REASON = "It is the first thing to try."


def asked(body: Mapping[str, Any]) -> str:
    """The user message of a request."""
    return body["messages"][-1]["content"]


def steps_asked(body: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The agent's action and the admissible actions of each step to correct."""
    text = asked(body)
    parts = re.split(r"^Step \d+$", text, flags=re.MULTILINE)[1:] if '"steps"' in text else [text]
    if len(parts) == 1:
        parts = [parts[0].rpartition("The step to correct:")[2]]
    return [
        (
            re.findall(r"^The agent's action: (.*)$", part, flags=re.MULTILINE)[-1],
            re.findall(r"^- (.*)$", part.partition("Admissible actions:\n")[2], flags=re.MULTILINE),
        )
        for part in parts
    ]


def better(taken: str, admissible: list[str]) -> str:
    """An admissible action other than ``taken`` if there is one; a command if no actions are listed."""
    others = [action for action in admissible if action != taken] or [taken if admissible else "ls"]
    return others[0].replace("<query>", "something nice")


def corrections(body: Mapping[str, Any], decide: Callable[[str, list[str]], str] = better) -> str:
    """A valid answer to a request for corrections, in either mode."""
    decisions = [{"reason": REASON, "action": decide(*step)} for step in steps_asked(body)]
    if '"steps"' not in asked(body):
        return json.dumps(decisions[0])
    numbered = [{"step": number, **decision} for number, decision in enumerate(decisions, start=1)]
    return json.dumps({"summary": "It went wrong.", "steps": numbered})


def rankings(body: Mapping[str, Any]) -> str:
    """A valid answer to a request for rankings: the first and the last action of each step."""
    lists = re.findall(r"^Actions to rank:\n((?:\d+\. .*\n?)+)", asked(body), flags=re.MULTILINE)
    best = [{"best": [1, len(listed.strip().splitlines())]} for listed in lists]
    if '"rankings"' not in asked(body):
        return json.dumps(best[0])
    return json.dumps({"rankings": [{"step": number, **each} for number, each in enumerate(best, start=1)]})


def is_ranking(body: Mapping[str, Any]) -> bool:
    """Whether a request is for rankings rather than corrections."""
    return "Actions to rank:" in asked(body)


def teaching(**how: Any) -> Callable[[Mapping[str, Any]], Answer]:
    """A script that corrects every step and ranks actions; ``how`` is passed on to ``answer``."""
    return lambda body: answer(rankings(body) if is_ranking(body) else corrections(body), **how)
