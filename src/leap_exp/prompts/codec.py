"""From records to token ids: the one place where prompts, responses and length limits become numbers."""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Decision, Observation, View
from leap_exp.prompts.render import Renderer
from leap_exp.prompts.trie import Trie

KEPT_SHARE = 0.75
"""When a prompt passes the limit, the oldest turns go until it fits this share of it, so that it can grow again."""


class PromptCodec:
    """Encodes segment by segment, so that a prompt's ids are a prefix of the next step's prompt's ids.

    Args:
        renderer: Makes the text.
        encode: Text to token ids, without special tokens of its own.
        context_length: Most tokens that a prompt may have.
        restricted: Whether actions are written along the admissible ones, so that no other token counts.
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

    def rendered_by(self, renderer: Renderer) -> "PromptCodec":
        """This codec with other prompts; ``renderer`` has the same markup."""
        codec = copy.copy(self)
        codec.renderer = renderer
        return codec

    def response_ids(self, decision: Decision) -> tuple[int, ...]:
        """Ids of a response, with the token that ends it."""
        return (*self._ids(self.renderer.response(decision)), self.stop_id)

    def action_ids(self, action: str) -> tuple[int, ...]:
        """Ids of the part of a response that names the action, with the token that ends it."""
        action_part = self.renderer.response(Decision(reason="", action=action))[-1]
        return (*self._encode(action_part), self.stop_id)

    def response_options(self, observation: Observation, decision: Decision) -> list[tuple[int, ...]]:
        """The token ids to choose from at each place of ``response_ids(decision)``; empty where any may stand.

        Every place of a reason is free. Places of an action are too, unless the codec is ``restricted``: then they have
        the tokens with which an action that ``observation`` admits can go on.
        """
        response = self.response_ids(decision)
        actions = observation.admissible_actions
        if not self.restricted or not actions or decision.action not in actions:
            return [()] * len(response)
        action = self.action_ids(decision.action)
        free = len(response) - len(action)
        return [()] * free + Trie.of(map(self.action_ids, actions)).options(action)

    def text_ids(self, text: str) -> tuple[int, ...]:
        """Ids of any text that a response is made of."""
        return self._encode(text)

    def prompt_ids(self, view: View) -> list[int]:
        """Ids of the prompt for ``view``, its oldest turns dropped where it would pass the limit."""
        return self.encode_prompt(view, first_kept=self.first_kept(view))

    def encode_prompt(self, view: View, *, first_kept: int) -> list[int]:
        """Ids of the prompt for ``view`` with the turns from ``first_kept`` on, and turn 0."""
        return self._ids(self.renderer.segments(view, first_kept=first_kept))

    def first_kept(self, view: View) -> int:
        """The first turn kept after turn 0 (1 if all are): depends on the history alone, grows with it.

        Raises:
            ConfigError: If not even turn 0 and the current turn fit.
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
                    "student.context_length leaves for it; raise it."
                )
        return first_kept

    def _ids(self, segments: Sequence[str]) -> list[int]:
        return [token for segment in segments for token in self._encode(segment)]
