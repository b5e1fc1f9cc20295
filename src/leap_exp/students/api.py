"""A model behind a chat server as a student: it acts, by a reason and an action a step, and cannot be trained."""

from collections.abc import Mapping, Sequence

from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, DecisionFailure, Task, View
from leap_exp.llm import ChatClient, ChatFailure, ChatRequest, Estimate, Message, Outcome
from leap_exp.llm.estimate import CHARACTERS_PER_TOKEN
from leap_exp.prompts.codec import PromptCodec
from leap_exp.prompts.parse import read_decision
from leap_exp.prompts.render import Renderer

TURN_TOKENS = 300
"""What a step is taken to add to the prompts after it, in a forecast. With the actions listed, the built-in tasks add
about 270 (WebShop), 130 (ALFWorld) and 60 (InterCode-Bash) as their experts go about them."""


class ApiStudent:
    """Asks for a whole batch of decisions at once, each in a conversation of its own.

    Prompts are measured at four characters a token, since the model's tokenizer is not at hand.
    """

    def __init__(self, client: ChatClient, renderer: Renderer, *, context_length: int) -> None:
        self.id = client.endpoint.model
        self._client = client
        self._renderer = renderer
        longest_prompt = context_length - client.endpoint.max_tokens
        self._codec = PromptCodec(renderer, _rough_tokens, context_length=longest_prompt)
        self._shortened = 0

    def act(self, views: Sequence[View], *, seed: int) -> list[Decision | DecisionFailure]:
        """One decision a view; a view for which the server gave no answer has a failure."""
        outcomes = self._client.complete([self._request(view, seed) for view in views])
        return [decided(outcome, reasons=self._renderer.reasons) for outcome in outcomes]

    def account(self) -> Mapping[str, float]:
        """What was used since this was last asked, and how many prompts lost turns."""
        shortened, self._shortened = self._shortened, 0
        used = self._client.account.close()
        return {**used, "shortened_prompts_count": shortened} if used else {}

    def forecast(self, tasks: Sequence[Task], *, max_steps: int) -> str:
        """What acting on ``tasks`` will cost if every episode takes all its steps."""
        endpoint = self._client.endpoint
        opening = len(_rough_tokens(self._renderer.opening))
        prompts = [min(opening + step * TURN_TOKENS, self._codec.context_length) for step in range(1, max_steps + 1)]
        requests = len(tasks) * max_steps
        tokens_in, tokens_out = len(tasks) * sum(prompts), requests * endpoint.max_tokens
        estimate = Estimate(
            requests=requests,
            tokens_in=tokens_in,
            tokens_out_most=tokens_out,
            dollars_most=endpoint.cost(tokens_in, tokens_out),
        )
        return f"{endpoint.name}: {estimate}, if all take {max_steps} steps of {TURN_TOKENS} tokens and none is cached"

    def _request(self, view: View, seed: int) -> ChatRequest:
        first_kept = self._codec.first_kept(view)
        self._shortened += first_kept > 1
        messages = self._renderer.messages(view, first_kept=first_kept)
        return ChatRequest(
            messages=tuple(Message(role=message["role"], text=message["content"]) for message in messages),
            seed=decision_seed(view, seed),
        )


def decision_seed(view: View, seed: int) -> int:
    """The seed of the decision in ``view``: the same whatever else is asked at the same time."""
    return derive_seed(seed, "decision", view.task.id, len(view.history))


def decided(outcome: Outcome, *, reasons: bool) -> Decision | DecisionFailure:
    """What a model's answer decides; a refusal is an answer, and no action that anyone would admit."""
    if isinstance(outcome, ChatFailure):
        return DecisionFailure(error=outcome.error)
    return read_decision(outcome.text or outcome.refusal, reasons=reasons)


def _rough_tokens(text: str) -> range:
    """As many things as ``text`` has tokens, roughly."""
    return range(-(-len(text) // CHARACTERS_PER_TOKEN))
