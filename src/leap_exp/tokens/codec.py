"""The codec: prompts and responses as token ids, and the rule for histories that grow too long."""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Decision, Observation, View
from leap_exp.tokens.renderer import Renderer
from leap_exp.tokens.tree import TokenTree

KEPT_SHARE = 0.75
"""When a prompt exceeds the limit, its oldest turns are dropped until it fits this share, so that it can grow again."""


class PromptCodec:
    """Encodes segment by segment, so that each prompt's ids are a prefix of the next step's.

    Args:
        renderer: Renders the text.
        encode: Maps text to token ids, without adding special tokens.
        context_length: Maximum tokens of a prompt.
        restricted: Whether actions are chosen among the admissible ones, so that only their tokens count.
    """

    def __init__(
        self,
        renderer: Renderer,
        encode: Callable[[str], Sequence[int]],
        *,
        context_length: int,
        restricted: bool = False,
    ) -> None:
        self.renderer = renderer
        self.restricted = restricted
        self.context_length = context_length
        self._encode = lru_cache(maxsize=65_536)(lambda text: tuple(encode(text)))
        self.after_response_ids = self._encode(renderer.markup.after_response)
        self.stop_id = self.after_response_ids[0]

    def with_renderer(self, renderer: Renderer) -> "PromptCodec":
        """Return this codec with another renderer of the same markup."""
        codec = copy.copy(self)
        codec.renderer = renderer
        return codec

    def response_ids(self, decision: Decision) -> tuple[int, ...]:
        """Return the ids of a response, ending with the stop token."""
        return (*self._ids(self.renderer.response(decision)), self.stop_id)

    def action_ids(self, action: str) -> tuple[int, ...]:
        """Return the ids of the action part of a response, ending with the stop token."""
        action_part = self.renderer.response(Decision(reason="", action=action))[-1]
        return (*self._encode(action_part), self.stop_id)

    def action_tree(self, actions: Sequence[str]) -> TokenTree:
        """Return the tree of the action parts of ``actions``."""
        return TokenTree.of(map(self.action_ids, actions))

    def response_options(self, observation: Observation, decision: Decision) -> list[tuple[int, ...]]:
        """Return the token ids to choose from at each position of ``response_ids(decision)``.

        An empty tuple means the whole vocabulary: always within a reason, and everywhere unless the codec is
        ``restricted``. In a restricted action they are the tokens with which an admissible action can continue.
        """
        response = self.response_ids(decision)
        actions = observation.admissible_actions
        if not self.restricted or not actions or decision.action not in actions:
            return [()] * len(response)
        action = self.action_ids(decision.action)
        unrestricted = len(response) - len(action)
        return [()] * unrestricted + self.action_tree(actions).options(action)

    def text_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a piece of a response."""
        return self._encode(text)

    def prompt_ids(self, view: View) -> list[int]:
        """Return the ids of the prompt for ``view``, without its oldest turns where it would exceed the limit."""
        return self.encode_prompt(view, first_kept=self.first_kept(view))

    def encode_prompt(self, view: View, *, first_kept: int) -> list[int]:
        """Return the ids of the prompt for ``view`` with turn 0 and the turns from ``first_kept``."""
        return self._ids(self.renderer.segments(view, first_kept=first_kept))

    def first_kept(self, view: View) -> int:
        """Return the first turn kept after turn 0, or 1 if all are kept. It depends on the history and only grows.

        Raises:
            ConfigError: Even turn 0 and the current turn do not fit.
        """
        turns = [len(self._encode(self.renderer.turn(view.task, step.observation))) for step in view.history]
        responses = [
            len(self._ids(self.renderer.response(step.decision))) + len(self.after_response_ids)
            for step in view.history
        ]
        turns.append(len(self._encode(self.renderer.turn(view.task, view.observation))))
        steps = [turn + response for turn, response in zip(turns, [*responses, 0], strict=True)]
        opening = len(self._encode(self.renderer.opening))
        first_kept = 1
        for now in range(len(steps)):
            fixed = opening + (steps[0] if now else 0) + turns[now]
            kept = sum(steps[first_kept:now])
            if fixed + kept <= self.context_length:
                continue
            while first_kept < now and fixed + kept > KEPT_SHARE * self.context_length:
                kept -= steps[first_kept]
                first_kept += 1
            if fixed + kept > self.context_length:
                raise ConfigError(
                    f"{view.task.id}: a prompt of {fixed} tokens does not fit the {self.context_length} that "
                    "student.context_length leaves for prompts; raise it."
                )
        return first_kept

    def _ids(self, segments: Sequence[str]) -> list[int]:
        return [token for segment in segments for token in self._encode(segment)]
