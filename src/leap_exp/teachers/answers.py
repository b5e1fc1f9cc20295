"""Questions to a language model and how its JSON answers are read: decisions, rankings, and up to three attempts.

The text of every ParseError here is shown to the model in the next attempt, and so is part of that request's cache key:
a change of wording makes a run ask, and pay, again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from leap_exp.core.errors import ParseError
from leap_exp.core.types import QUERY_SLOT, Decision, Observation, Step
from leap_exp.llm import ChatClient, ChatFailure, ChatReply, ChatRequest, Message
from leap_exp.teachers.prompts import MAX_RANKED, Prompt
from leap_exp.tokens.json_answers import read_steps, text_field

T = TypeVar("T")

ATTEMPTS = 3
"""Answers that a model may give before a question counts as unanswered, as in the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[T]):
    """A prompt, the JSON schema of its answer, the function that reads the answer, and the name of its conversation.

    ``read`` raises ParseError, with a sentence for the model about what is wrong, if an answer cannot be used.
    """

    prompt: Prompt
    schema: Mapping[str, object]
    read: Callable[[str], T]
    conversation: str = ""

    def request(self, *, seed: int, attempt: int = 0, complaint: str = "") -> ChatRequest:
        """Return the request to send; a later attempt says what was wrong with the previous answer."""
        prompt = self.prompt.again(complaint) if complaint else self.prompt
        messages = (Message(role="system", text=prompt.system), Message(role="user", text=prompt.user))
        return ChatRequest(
            messages=messages, seed=seed, attempt=attempt, schema=self.schema, conversation=self.conversation
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A question without a usable answer, and why."""

    error: str


def ask(client: ChatClient, questions: Sequence[Question[T]], *, seed: int) -> list[T | Unanswered]:
    """Return the answer to each question. A bad answer does not affect the other questions.

    A question with an unusable answer is asked again. A request that got no answer at all is not: the client has
    already retried it.

    Raises:
        ProviderError: See ``ChatClient.complete``.
    """
    answers: dict[int, T | Unanswered] = {}
    complaints = dict.fromkeys(range(len(questions)), "")
    for attempt in range(ATTEMPTS):
        waiting = list(complaints.items())
        requests = [questions[index].request(seed=seed, attempt=attempt, complaint=why) for index, why in waiting]
        complaints = {}
        for (index, _), result in zip(waiting, client.complete(requests), strict=True):
            if isinstance(result, ChatFailure):
                answers[index] = Unanswered(error=result.error)
                continue
            try:
                answers[index] = _read(questions[index], result)
            except ParseError as error:
                complaints[index] = str(error)
    answers |= {
        index: Unanswered(error=f"None of {ATTEMPTS} answers could be used, the last one: {why}")
        for index, why in complaints.items()
    }
    return [answers[index] for index in range(len(questions))]


def _read(question: Question[T], reply: ChatReply) -> T:
    if reply.is_refused:
        raise ParseError(f"It was refused: {reply.refusal or 'a filter kept it back'!r}.")
    try:
        return question.read(reply.text)
    except ParseError as error:
        if reply.is_truncated:
            raise ParseError(
                f"It was cut off after {reply.tokens_out} tokens (endpoint.max_tokens). {error}"
            ) from error
        raise


def object_schema(properties: Mapping[str, object]) -> Mapping[str, object]:
    """Return the JSON schema of an object with exactly these properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _steps_schema(properties: Mapping[str, object]) -> Mapping[str, object]:
    return {"type": "array", "items": object_schema({"step": {"type": "integer"}, **properties})}


_DECISION: Mapping[str, object] = {"reason": {"type": "string"}, "action": {"type": "string"}}
STEP_SCHEMA = object_schema(_DECISION)
"""The correction of one step."""
STEPS_SCHEMA = object_schema({"summary": {"type": "string"}, "steps": _steps_schema(_DECISION)})
"""The corrections of a trajectory, after a summary, so that the model looks at the whole trajectory first."""

_BEST: Mapping[str, object] = {"best": {"type": "array", "items": {"type": "integer"}}}
RANKING_SCHEMA = object_schema(_BEST)
"""The ranking of one step's actions."""
RANKINGS_SCHEMA = object_schema({"rankings": _steps_schema(_BEST)})
"""The rankings of the actions at every step of a trajectory."""


def read_decisions(text: str, steps: Sequence[Step]) -> list[Decision]:
    """Read one decision per step: the model's if it is admissible, otherwise the student's.

    Raises:
        ParseError: The form is wrong, no action is admissible, or at some step neither action is.
    """
    items = read_steps(text, "steps", len(steps), "reason", "action")
    decisions = []
    inadmissible = []
    for number, (item, step) in enumerate(zip(items, steps, strict=True), start=1):
        reason, action = text_field(item, "reason"), text_field(item, "action")
        admitted = admissible_form(step.observation, action)
        if admitted is None:
            inadmissible.append(f"{action!r} in step {number}")
            decisions.append(kept_decision(step))
        else:
            decisions.append(Decision(reason=" ".join(reason.split()), action=admitted))
    if len(inadmissible) == len(steps):
        raise ParseError(f"It has no admissible action: {inadmissible[0]} is none.")
    return decisions


def kept_decision(step: Step) -> Decision:
    """Return the student's decision, for a step that the model does not change.

    Raises:
        ParseError: The student's action was inadmissible, so it cannot be kept.
    """
    if not step.is_valid:
        raise ParseError(f"There is no admissible action in place of {step.decision.action!r}, which was none either.")
    return step.listed_decision


def admissible_form(observation: Observation, action: str) -> str | None:
    """Return ``action`` as the environment writes it, or None if it is not admissible. Case and spacing are ignored.

    An action is one line, and may not contain ``QUERY_SLOT`` itself, even if the environment would accept that text.
    """
    if "\n" in action or QUERY_SLOT in action:
        return None
    if observation.admits(action):
        return action
    alike = [listed for listed in observation.admissible_actions or () if _plain(listed) == _plain(action)]
    return alike[0] if len(alike) == 1 else None


def _plain(action: str) -> str:
    return " ".join(action.lower().split())


def read_rankings(text: str, candidates: Sequence[Sequence[str]]) -> list[list[str]]:
    """Read the best candidates of each step, best first. The model names them by number, starting from 1.

    A step without a valid number has an empty ranking.

    Raises:
        ParseError: The form is wrong, or no step has a valid number.
    """
    items = read_steps(text, "rankings", len(candidates), "best")
    rankings = []
    for item, listed in zip(items, candidates, strict=True):
        if not isinstance(item["best"], list):
            raise ParseError(f"'best' has to be a list of numbers, not {item['best']!r}.")
        numbers = (int(number) for number in item["best"] if str(number).isdecimal())
        named = dict.fromkeys(listed[number - 1] for number in numbers if 1 <= number <= len(listed))
        rankings.append(list(named)[:MAX_RANKED])
    if not any(rankings):
        raise ParseError("None of its numbers is that of an action to rank.")
    return rankings


def rank_values(own: str, ranking: Sequence[str], candidates: Sequence[str]) -> dict[str, float]:
    """Return the value of each candidate: minus its rank, from 0 for ``own``, the action that the model decided on.

    Candidates that are not in the ranking share the rank after the last.
    """
    ranks = {action: -float(rank) for rank, action in enumerate(dict.fromkeys([own, *ranking]))}
    return {action: ranks.get(action, -float(len(ranks))) for action in candidates}
