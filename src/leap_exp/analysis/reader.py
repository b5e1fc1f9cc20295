"""Leakage to a reader: does a reason change the probability of a hidden fact?

Words alone do not tell (``leakage``): "it is behind the fourth door" names nothing. Here a reader, a language model, is
asked where a hidden object is, after what the student was shown, without and with the reason:

    leak = ln p(place | shown, reason) - ln p(place | shown)   [nats; above 0: the reason reveals the place]

where p is the reader's distribution over the places that the student knows of. Any text moves a reader a little, so the
same is measured with a reason for another task (``control``); what counts is the excess over it. A reader that is too
weak to understand a reason finds nothing: the measure is a lower estimate, of what this reader can find.
"""

import math
import random
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from leap_exp.analysis.distributions import log_normalised
from leap_exp.analysis.leakage import has, kind, shown_text
from leap_exp.core.types import Correction, View, views

LIMIT = 48
"""Most questions to a reader about a sample, each of which it reads three times."""

_NAME = re.compile(r"\b[a-z]+ \d+\b")


class Reader(Protocol):
    """Reads a text and tells how likely each of several continuations is."""

    @abstractmethod
    def logprobs(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> Sequence[Mapping[str, float]]:
        """Return, for each text, the log-probability (nats, up to a constant) of each of its candidates after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonLeak:
    """What the reason of one step reveals about one hidden object.

    Attributes:
        task_id: The task.
        depth: Index of the step.
        thing: The hidden object.
        nats: The leak.
        control_nats: The same with a reason for another task; None if the sample has only one task.
    """

    task_id: str
    depth: int
    thing: str
    nats: float
    control_nats: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLeakage:
    """What the reasons of a sample reveal.

    Attributes:
        reasons: Pairs of a reason and a hidden object.
        nats: Mean leak.
        control_nats: Mean of the control; 0 if there is none.
        excess_nats: The difference: what the reasons reveal.
        doubled_share: Share of the pairs where the reason at least doubles the probability of the place.
        control_doubled_share: The same for the control.
    """

    reasons: int
    nats: float
    control_nats: float
    excess_nats: float
    doubled_share: float
    control_doubled_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    task_id: str
    depth: int
    thing: str
    place: str
    seen: str
    reason: str
    places: tuple[str, ...]

    def text(self, reason: str) -> str:
        thought = f"\n{reason}" if reason else ""
        return f"{self.seen}{thought}\nThe {kind(self.thing)} is at the"


def reason_leaks(
    corrections: Sequence[Correction], reader: Reader, *, limit: int = LIMIT, seed: int = 0
) -> list[ReasonLeak]:
    """Return what the reader learns from each reason about each object that the step's history has not shown.

    If there are more than ``limit`` pairs of a reason and an object, so many are drawn by ``seed``.
    """
    questions = [question for correction in corrections for question in _questions(correction)]
    if len(questions) > limit:
        questions = random.Random(seed).sample(questions, limit)
    others = [_reason_for_another_task(questions, place) for place in range(len(questions))]
    texts = [each.text("") for each in questions]
    texts += [each.text(each.reason) for each in questions]
    texts += [each.text(other or "") for each, other in zip(questions, others, strict=True)]
    answers = reader.logprobs(texts, [each.places for each in questions] * 3) if questions else []
    count = len(questions)
    found = []
    for index, question in enumerate(questions):
        without, told, control = (log_normalised(answers[index + part * count])[question.place] for part in range(3))
        found.append(
            ReasonLeak(
                task_id=question.task_id,
                depth=question.depth,
                thing=question.thing,
                nats=told - without,
                control_nats=None if others[index] is None else control - without,
            )
        )
    return found


def reader_leakage(leaks: Sequence[ReasonLeak]) -> ReaderLeakage | None:
    """Return the means over a sample; None without any reason about a hidden object."""
    if not leaks:
        return None
    controls = [leak.control_nats for leak in leaks if leak.control_nats is not None] or [0.0]
    nats = fmean(leak.nats for leak in leaks)
    return ReaderLeakage(
        reasons=len(leaks),
        nats=nats,
        control_nats=fmean(controls),
        excess_nats=nats - fmean(controls),
        doubled_share=fmean(leak.nats >= math.log(2.0) for leak in leaks),
        control_doubled_share=fmean(control >= math.log(2.0) for control in controls),
    )


def _questions(correction: Correction) -> list[_Question]:
    facts = correction.briefing.facts
    locations = facts.data.get("locations") if facts is not None else None
    if not isinstance(locations, Mapping):
        return []
    found = []
    for depth, view in enumerate(views(correction.trajectory)):
        reason = correction.decisions[depth].reason
        if not reason or depth in correction.context_steps:
            continue
        shown = shown_text(view)
        for thing, place in locations.items():
            if has(shown, thing):
                continue
            places = _places(view, str(place).lower(), hidden=[*locations])
            if len(places) > 1:
                found.append(
                    _Question(
                        task_id=correction.trajectory.task.id,
                        depth=depth,
                        thing=thing,
                        place=str(place).lower(),
                        seen=_seen(view),
                        reason=reason,
                        places=places,
                    )
                )
    return found


def _seen(view: View) -> str:
    """Return the task and the observations, without the lists of actions, which are long and say no more."""
    observations = [*(step.observation for step in view.history), view.observation]
    return "\n".join([view.task.instruction, *(observation.text for observation in observations)])


def _places(view: View, true_place: str, *, hidden: Sequence[str]) -> tuple[str, ...]:
    """Return the names in the opening text and the present actions, without hidden things, and the true place."""
    first = view.history[0].observation if view.history else view.observation
    names = [*_NAME.findall(first.text.lower())]
    for action in view.observation.admissible_actions or ():
        names += _NAME.findall(action.lower())
    return tuple(sorted({true_place, *names} - {name.lower() for name in hidden}))


def _reason_for_another_task(questions: Sequence[_Question], place: int) -> str | None:
    """Return the next reason that is about another task, or None if all are about one."""
    own = questions[place].task_id
    later = (*questions[place:], *questions[:place])
    return next((question.reason for question in later if question.task_id != own), None)
