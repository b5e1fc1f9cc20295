"""Reasons for demonstrations that have none, each from what was known at its step."""

from collections.abc import Sequence
from dataclasses import replace

from leap_exp.core.types import Decision, Trajectory, views
from leap_exp.llm import ChatClient
from leap_exp.prompts.json_answers import read_object, text_field
from leap_exp.prompts.teaching import reason_prompt
from leap_exp.teachers.asking import Question, Unanswered, ask
from leap_exp.teachers.rewriting import object_schema

REASON_SCHEMA = object_schema({"reason": {"type": "string"}})


def annotate(client: ChatClient, trajectories: Sequence[Trajectory], *, seed: int) -> list[Trajectory | Unanswered]:
    """``trajectories`` with a reason at every step that had none, or why one of their steps got none.

    Raises:
        ProviderError: see ``ChatClient.complete``.
    """
    places = [
        (index, place)
        for index, trajectory in enumerate(trajectories)
        for place, step in enumerate(trajectory.steps)
        if not step.decision.reason
    ]
    answers = ask(client, [_question(trajectories[index], place) for index, place in places], seed=seed)
    reasons: list[dict[int, str]] = [{} for _ in trajectories]
    unanswered: dict[int, Unanswered] = {}
    for (index, place), answer in zip(places, answers, strict=True):
        if isinstance(answer, Unanswered):
            unanswered.setdefault(index, Unanswered(f"step {place + 1}: {answer.error}"))
        else:
            reasons[index][place] = answer
    return [
        unanswered.get(index) or _with_reasons(trajectory, reasons[index])
        for index, trajectory in enumerate(trajectories)
    ]


def _question(trajectory: Trajectory, place: int) -> Question[str]:
    view = views(trajectory)[place]
    return Question(
        prompt=reason_prompt(view, trajectory.steps[place].decision.action), schema=REASON_SCHEMA, read=_read_reason
    )


def _read_reason(text: str) -> str:
    return " ".join(text_field(read_object(text, "reason"), "reason").split())


def _with_reasons(trajectory: Trajectory, reasons: dict[int, str]) -> Trajectory:
    steps = [
        replace(step, decision=Decision(reason=reasons[place], action=step.decision.action))
        if place in reasons
        else step
        for place, step in enumerate(trajectory.steps)
    ]
    return replace(trajectory, steps=tuple(steps))
