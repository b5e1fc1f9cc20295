"""Privileged facts from the log of an episode, for environments that have none of their own."""

from collections.abc import Sequence

from leap_exp.core.errors import ParseError
from leap_exp.core.types import PrivilegedFacts, Trajectory
from leap_exp.llm import ChatClient
from leap_exp.prompts.json_answers import is_text, read_object
from leap_exp.prompts.teaching import facts_prompt
from leap_exp.teachers.asking import Question, Unanswered, ask
from leap_exp.teachers.rewriting import object_schema

_TEXTS = {"type": "array", "items": {"type": "string"}}
FACTS_SCHEMA = object_schema({"facts": _TEXTS, "hidden_names": _TEXTS})


def extract_facts(
    client: ChatClient, trajectories: Sequence[Trajectory], *, seed: int
) -> list[PrivilegedFacts | Unanswered]:
    """What each of ``trajectories``, which have a score, brings to light about its task, or why that could not be had.

    ``data`` has ``hidden_names``: the names in the facts that the episode did not begin with.

    Raises:
        ProviderError: see ``ChatClient.complete``.
    """
    return ask(client, [_question(trajectory) for trajectory in trajectories], seed=seed)


def _question(trajectory: Trajectory) -> Question[PrivilegedFacts]:
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
    if not isinstance(value, list) or not all(is_text(item) for item in value):
        raise ParseError(f"{key!r} has to be a list of texts.")
    return [item.strip() for item in value if item.strip()]
