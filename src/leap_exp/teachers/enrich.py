"""What a language model adds to recorded episodes: reasons for demonstrations, and privileged facts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from leap_exp.core.errors import ParseError
from leap_exp.core.types import PrivilegedFacts, Trajectory, views
from leap_exp.llm import ChatClient
from leap_exp.teachers.answers import Question, Unanswered, ask, object_schema
from leap_exp.teachers.prompts import facts_prompt, reason_prompt
from leap_exp.tokens.json_answers import read_object, text_field

_TEXTS = {"type": "array", "items": {"type": "string"}}
REASON_SCHEMA = object_schema({"reason": {"type": "string"}})
FACTS_SCHEMA = object_schema({"facts": _TEXTS, "hidden_names": _TEXTS})


def annotate(client: ChatClient, trajectories: Sequence[Trajectory], *, seed: int) -> list[Trajectory | Unanswered]:
    """Add a reason to every step without one, based only on what was known at that step.

    Returns:
        One entry per trajectory: the trajectory with all reasons, or why one of its steps got none.

    Raises:
        ProviderError: See ``ChatClient.complete``.
    """
    places = [
        (index, place)
        for index, trajectory in enumerate(trajectories)
        for place, step in enumerate(trajectory.steps)
        if not step.decision.reason
    ]
    answers = ask(client, [_reason_question(trajectories[index], place) for index, place in places], seed=seed)
    reasons: list[dict[int, str]] = [{} for _ in trajectories]
    unanswered: dict[int, Unanswered] = {}
    for (index, place), answer in zip(places, answers, strict=True):
        if isinstance(answer, Unanswered):
            unanswered.setdefault(index, Unanswered(error=f"step {place + 1}: {answer.error}"))
        else:
            reasons[index][place] = answer
    return [
        unanswered.get(index) or _with_reasons(trajectory, reasons[index])
        for index, trajectory in enumerate(trajectories)
    ]


def _reason_question(trajectory: Trajectory, place: int) -> Question[str]:
    prompt = reason_prompt(views(trajectory)[place], trajectory.steps[place].decision.action)
    return Question(prompt=prompt, schema=REASON_SCHEMA, read=_read_reason)


def _read_reason(text: str) -> str:
    return " ".join(text_field(read_object(text, "reason"), "reason").split())


def _with_reasons(trajectory: Trajectory, reasons: Mapping[int, str]) -> Trajectory:
    steps = list(trajectory.steps)
    for place, reason in reasons.items():
        steps[place] = replace(steps[place], decision=replace(steps[place].decision, reason=reason))
    return replace(trajectory, steps=tuple(steps))


def extract_facts(
    client: ChatClient, trajectories: Sequence[Trajectory], *, seed: int
) -> list[PrivilegedFacts | Unanswered]:
    """Return the facts that each scored trajectory reveals about its task, for environments without facts.

    ``data["hidden_names"]`` lists the names in the facts that were not shown at the start of the episode.

    Raises:
        ProviderError: See ``ChatClient.complete``.
    """
    return ask(client, [_facts_question(trajectory) for trajectory in trajectories], seed=seed)


def _facts_question(trajectory: Trajectory) -> Question[PrivilegedFacts]:
    first = trajectory.steps[0].observation
    shown = "\n".join([trajectory.task.instruction, first.text, *(first.admissible_actions or ())]).lower()

    def read(text: str) -> PrivilegedFacts:
        answer = read_object(text, "facts")
        facts = _texts(answer["facts"], "facts")
        if not facts:
            raise ParseError("It has no facts.")
        names = [name for name in _texts(answer.get("hidden_names", []), "hidden_names") if name.lower() not in shown]
        return PrivilegedFacts(task_id=trajectory.task.id, text="\n".join(facts), data={"hidden_names": names})

    return Question(prompt=facts_prompt(trajectory), schema=FACTS_SCHEMA, read=read)


def _texts(value: object, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ParseError(f"{key!r} has to be a list of texts.")
    return [item.strip() for item in value if item.strip()]
