"""Asking a model until its answers can be used, a fixed number of times."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from leap_exp.core.errors import ParseError
from leap_exp.llm import ChatClient, ChatFailure, ChatReply, ChatRequest, Message
from leap_exp.prompts.teaching import Prompt

T = TypeVar("T")

TRIES = 3
"""Answers that a model may give to a question before it counts as unanswered, as in the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[T]):
    """A prompt, the JSON schema of its answer, and how the answer is read.

    ``read`` raises ParseError, with what is wrong in a sentence for the model to read, if an answer is of no use.
    """

    prompt: Prompt
    schema: Mapping[str, object]
    read: Callable[[str], T]

    def request(self, *, seed: int, attempt: int = 0, complaint: str = "") -> ChatRequest:
        """What is sent; a later attempt says what was wrong with the answer before it."""
        prompt = self.prompt.again(complaint) if complaint else self.prompt
        messages = (Message(role="system", text=prompt.system), Message(role="user", text=prompt.user))
        return ChatRequest(messages=messages, seed=seed, attempt=attempt, schema=self.schema)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question without an answer that could be used, and why."""

    error: str


def ask(client: ChatClient, questions: Sequence[Question[T]], *, seed: int) -> list[T | Unanswered]:
    """What the model behind ``client`` answers to each of ``questions``; a bad answer to one costs the others nothing.

    An answer of no use is asked for again. A request that the server did not answer, after all tries of the client, is
    not: there is no answer to do better than.

    Raises:
        ProviderError: see ``ChatClient.complete``.
    """
    answers: dict[int, T | Unanswered] = {}
    complaints = dict.fromkeys(range(len(questions)), "")
    for attempt in range(TRIES):
        waiting = list(complaints.items())
        requests = [questions[index].request(seed=seed, attempt=attempt, complaint=why) for index, why in waiting]
        complaints = {}
        for (index, _), outcome in zip(waiting, client.complete(requests), strict=True):
            if isinstance(outcome, ChatFailure):
                answers[index] = Unanswered(outcome.error)
                continue
            try:
                answers[index] = _read(questions[index], outcome)
            except ParseError as error:
                complaints[index] = str(error)
    answers |= {
        index: Unanswered(f"None of {TRIES} answers could be used, the last: {why}")
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
