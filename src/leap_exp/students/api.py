"""A model behind a chat server as a student: it acts with a reason and an action per step, and cannot be trained."""

import threading
from collections.abc import Mapping, Sequence

from leap_exp.core.environments import Environment
from leap_exp.core.protocols import Policy
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, DecisionFailure, Task, View
from leap_exp.llm import CHARACTERS_PER_TOKEN, ChatClient, ChatFailure, ChatRequest, ChatResult, CostEstimate, Message
from leap_exp.students.config import ApiStudentConfig
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.markup import MESSAGES_MARKUP
from leap_exp.tokens.renderer import Renderer

STEP_TOKENS = 300
"""Tokens that a step is assumed to add to later prompts, in cost estimates. With the actions listed, the built-in tasks
add about 270 (WebShop), 130 (ALFWorld) and 60 (InterCode-Bash) when their experts act."""


class ApiStudent(Policy):
    """Asks for each decision as soon as its episode is ready, in a conversation of its own.

    The model's tokenizer is not available, so prompts are measured at four characters per token.

    Args:
        config: The student's settings.
        environment: The environment that it acts in.
        client: Asks the model; None for a new client of its endpoint.
    """

    def __init__(self, config: ApiStudentConfig, environment: Environment, *, client: ChatClient | None = None) -> None:
        self._client = client or ChatClient(config.endpoint, place="student.endpoint")
        self._renderer = Renderer(environment.prompts, MESSAGES_MARKUP, config)
        longest_prompt = config.context_length - config.endpoint.max_tokens
        self._codec = PromptCodec(self._renderer, _rough_tokens, context_length=longest_prompt)
        self._lock = threading.Lock()
        self._shortened = self._shortened_observations = 0
        self.id = self._client.endpoint.model
        self.concurrency = self._client.concurrency

    def act(self, views: Sequence[View], *, seed: int) -> list[Decision | DecisionFailure]:
        """Return one decision per view, or a failure where the server gave no answer."""
        results = self._client.complete([self._request(view, seed) for view in views])
        return [_decision(result, self._renderer) for result in results]

    def usage(self) -> Mapping[str, float]:
        """Return what was used since the last call, and how many prompts lost turns, and observations their middle."""
        shortened = {
            "shortened_prompts_count": self._shortened,
            "shortened_observations_count": self._shortened_observations,
        }
        self._shortened = self._shortened_observations = 0
        used = self._client.take_usage()
        return {**used, **shortened} if used else {}

    def estimate(self, tasks: Sequence[Task], *, max_steps: int) -> str:
        """Describe what acting on ``tasks`` costs if every episode takes ``max_steps`` steps."""
        endpoint = self._client.endpoint
        openings = [len(_rough_tokens(self._renderer.opening(task))) for task in tasks]
        steps, longest = range(1, max_steps + 1), self._codec.context_length
        tokens_in = sum(min(opening + step * STEP_TOKENS, longest) for opening in openings for step in steps)
        requests = len(tasks) * max_steps
        tokens_out = requests * endpoint.max_tokens
        estimate = CostEstimate(
            requests=requests,
            tokens_in=tokens_in,
            max_tokens_out=tokens_out,
            max_dollars=endpoint.cost(tokens_in, tokens_out),
        )
        return f"{endpoint.name}: {estimate}, if all take {max_steps} steps of {STEP_TOKENS} tokens and none is cached"

    def _request(self, view: View, seed: int) -> ChatRequest:
        first_kept = self._codec.first_kept(view)
        with self._lock:
            self._shortened += first_kept > 1
            self._shortened_observations += self._codec.is_observation_shortened(view)
        messages = self._renderer.messages(view, first_kept=first_kept, limits=self._codec.limits(view))
        return ChatRequest(
            messages=tuple(Message(role=message["role"], text=message["content"]) for message in messages),
            seed=decision_seed(view, seed),
            conversation=view.task.id,
        )


def decision_seed(view: View, seed: int) -> int:
    """Return the seed of the decision in ``view``, which does not depend on the rest of the batch."""
    return derive_seed(seed, "decision", *view.scope)


def _decision(result: ChatResult, renderer: Renderer) -> Decision | DecisionFailure:
    """Return the decision in a model's answer; a refusal is an answer without an action."""
    if isinstance(result, ChatFailure):
        return DecisionFailure(error=result.error)
    return renderer.read(result.text or result.refusal, cut_off=result.is_truncated)


def _rough_tokens(text: str) -> range:
    """Return a sequence with about as many entries as ``text`` has tokens."""
    return range(-(-len(text) // CHARACTERS_PER_TOKEN))
