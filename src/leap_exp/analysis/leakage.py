"""Leakage: reasons that reveal what a student cannot know from its history.

A reason leaks in one of two ways. It *names* something hidden, an instance ("mug 2") that no text has shown yet. Or it
*places* something hidden: it states as a fact that a wanted object, by name or by kind, is where the privileged facts
have it. A guess ("the mug may be in cabinet 4", "check cabinet 4 for a mug") does not leak, because a student can make
it too.

In every environment, ``PrivilegedFacts.data`` says what is hidden:

- ``hidden_names``: Names of instances that the task's first text does not show.
- ``locations``: Name and place of each wanted instance.
"""

import re
from collections.abc import Mapping, Sequence

from leap_exp.core.types import Correction, PrivilegedFacts, View, views

CONJECTURE = re.compile(
    r"\b(may|might|could|would|should|perhaps|maybe|possibly|probably|likely|plausible|often|usually|commonly|typically|"
    r"sometimes|tends?|whether|if|unless|check(ing)?|search(ing)?|inspect(ing)?|look(ing)?|see|try(ing)?|worth|"
    r"not|no|nothing|without|any|next)\b"
)
"""Words that make a clause about a thing and a place a guess, a search or a denial."""


def leaks(view: View, reason: str, facts: PrivilegedFacts | None) -> tuple[str, ...]:
    """Return what ``reason`` reveals that ``view`` has not shown, given the task's privileged facts.

    Returns:
        Hidden names that the reason mentions (``"mug 2"``) and locations that it states (``"mug in cabinet 4"``),
        sorted. Empty without facts, because then nothing is known to be hidden.
    """
    if facts is None:
        return ()
    shown = shown_text(view)
    text = reason.lower()
    named = {name for name in _strings(facts.data.get("hidden_names")) if has(text, name) and not has(shown, name)}
    locations = facts.data.get("locations")
    placed = {
        f"{kind(thing)} in {place}"
        for thing, place in (locations.items() if isinstance(locations, Mapping) else ())
        if not has(shown, thing) and any(_places(sentence, thing, place) for sentence in re.split(r"[.;!?]\s*", text))
    }
    return tuple(sorted(named | placed))


def leaking_share(corrections: Sequence[Correction]) -> float:
    """Return the share of the corrections' reasons that leak, in [0, 1]; 0 if there are no reasons."""
    leaking = [
        bool(leaks(view, decision.reason, correction.briefing.facts))
        for correction in corrections
        for index, (view, decision) in enumerate(zip(views(correction.trajectory), correction.decisions, strict=True))
        if decision.reason and index not in correction.context_steps
    ]
    return sum(leaking) / len(leaking) if leaking else 0.0


def shown_text(view: View) -> str:
    """Return everything that the student has been shown up to and including ``view``, in lower case."""
    observations = [*(step.observation for step in view.history), view.observation]
    lines: list[str] = [view.task.instruction]
    for observation in observations:
        lines += [observation.text, *(observation.admissible_actions or ())]
    return "\n".join(lines).lower()


def _places(sentence: str, thing: str, place: str) -> bool:
    """Return whether ``sentence`` states as a fact that ``thing``, or something of its kind, is at ``place``."""
    # Another instance of the same kind ("mug 3") does not count.
    what = rf"\b(?:{re.escape(thing.lower())}\b|{re.escape(kind(thing))}s?\b(?! \d))"
    where = rf"\b{re.escape(place.lower())}\b"
    # A direct statement leaks even beside a word from CONJECTURE ("next: cabinet 4, where the mug is").
    is_there = r"(?: (?:is|are|lies|sits|stands|rests|waits))"
    outright = (
        rf"{what}{is_there} (?:\w+ )?(?:in|on|inside|at|under)(?: the)? {where}",
        rf"{where}(?: already)? (?:holds|contains|hides|has|keeps)(?: \w+)? {what}",
        rf"{where},? (?:where|which is where)(?: \w+)? {what}{is_there}",
    )
    if any(re.search(pattern, sentence) for pattern in outright):
        return True
    clauses = (clause for clause in sentence.split(",") if re.search(what, clause) and re.search(where, clause))
    return any(not CONJECTURE.search(clause) for clause in clauses)


def has(text: str, name: str) -> bool:
    """Return whether lower-case ``text`` contains ``name`` as whole words ("mug 2" is not in "mug 21")."""
    return re.search(rf"\b{re.escape(name.lower())}\b", text) is not None


def kind(name: str) -> str:
    """Return the kind of an instance: its name without the number ("mug 2" is a "mug")."""
    return re.sub(r"\s+\d+$", "", name.lower())


def _strings(value: object) -> list[str]:
    """Return the strings in ``value``; none if it is not a collection."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple | set) else []
