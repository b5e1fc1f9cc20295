"""The codec: prompts and responses as token ids, and the rules for pages and histories that are too long.

If a turn alone leaves no room for itself, the middle of its text is left out until it fits, wherever the turn is shown:
turn 0 into three quarters of what the instructions leave, any other into what the instructions, turn 0 and its response
leave. Then, if the prompt is too long, the oldest turns but turn 0 are left out. Records keep everything, and training
renders the same prompts from them.
"""

import copy
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Decision, Observation, Step, Task, View
from leap_exp.tokens.renderer import Renderer
from leap_exp.tokens.tree import TokenTree

KEPT_SHARE = 0.75
"""When a prompt exceeds the limit, its oldest turns are dropped until it fits this share, so that it can grow again.
It is also the share of the limit that turn 0 may have."""


class PromptCodec:
    """Encodes segment by segment, so that each prompt's ids are a prefix of the next step's.

    Args:
        renderer: Renders the text.
        encode: Maps text to token ids, without adding special tokens (see ``Markup.as_text``).
        context_length: Maximum tokens of a prompt.
        restricted: Whether actions are chosen among the admissible ones, so that only their tokens count.
        end_ids: Further tokens with which the model itself ends a response.
    """

    def __init__(
        self,
        renderer: Renderer,
        encode: Callable[[str], Sequence[int]],
        *,
        context_length: int,
        restricted: bool = False,
        end_ids: Collection[int] = (),
    ) -> None:
        self.renderer = renderer
        self.restricted = restricted
        self.context_length = context_length
        self._encode = lru_cache(maxsize=65_536)(lambda text: tuple(encode(text)))
        self.after_response_ids = self._encode(renderer.markup.after_response)
        self.stop_id = self.after_response_ids[0]
        self.stop_ids = frozenset({self.stop_id, *end_ids})

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

    def prompt_ids(self, view: View, *, thinking: bool = False) -> list[int]:
        """Return the ids of the prompt for ``view``, without its oldest turns where it would exceed the limit.

        With ``thinking`` it ends where the student may think, which training and scoring leave out.
        """
        first_kept, limits = self.first_kept(view), self.limits(view)
        return self._ids(self.renderer.segments(view, first_kept=first_kept, limits=limits, thinking=thinking))

    def encode_prompt(self, view: View, *, first_kept: int) -> list[int]:
        """Return the ids of the prompt for ``view`` with turn 0 and the turns from ``first_kept``."""
        return self._ids(self.renderer.segments(view, first_kept=first_kept, limits=self.limits(view)))

    def turn_ids(self, view: View) -> tuple[int, ...]:
        """Return the ids of the last turn of the prompt for ``view``."""
        characters = self.limits(view).get(len(view.history))
        return self._encode(self.renderer.turn(view.task, view.observation, characters=characters))

    def limits(self, view: View) -> dict[int, int]:
        """Return how many characters are shown of each turn of ``view`` that is too long, by its index.

        Raises:
            ConfigError: There is no room for any text.
        """
        return self._turns(view)[1]

    def is_observation_shortened(self, view: View) -> bool:
        """Return whether a part of the last observation of ``view`` is left out."""
        return len(view.history) in self.limits(view)

    def _turns(self, view: View) -> tuple[list[int], dict[int, int]]:
        """Return the tokens of each turn of ``view`` as it is shown, and ``limits``."""
        room = self.context_length - len(self._encode(self.renderer.opening(view.task)))
        lengths: list[int] = []
        limits: dict[int, int] = {}
        for index, observation in enumerate([*(step.observation for step in view.history), view.observation]):
            most = room if index else int(KEPT_SHARE * room)
            left_out = 0 if index else view.left_out
            length = len(self._encode(self.renderer.turn(view.task, observation, left_out=left_out)))
            if length > most:
                limits[index], length = self._cut(view.task, observation, most)
            lengths.append(length)
            if index == 0 and view.history:
                room -= length + self._response_length(view.history[0])
        return lengths, limits

    def _cut(self, task: Task, observation: Observation, most: int) -> tuple[int, int]:
        """Return how many characters of a turn to show so that it has at most ``most`` tokens, and its tokens then."""
        characters = len(self.renderer.turn(task, observation))
        while characters > 0:
            length = len(self._encode(self.renderer.turn(task, observation, characters=characters)))
            if length <= most:
                return characters, length
            characters = min(characters - 1, characters * max(most, 0) // length)
        raise ConfigError(
            f"{task.id}: the {self.context_length} tokens that student.context_length leaves for prompts have no room "
            "for what the environment shows; raise it."
        )

    def _response_length(self, step: Step) -> int:
        return len(self._ids(self.renderer.response(step.decision))) + len(self.after_response_ids)

    def first_kept(self, view: View) -> int:
        """Return the first turn kept after turn 0, or 1 if all are kept. It depends on the history and only grows.

        Raises:
            ConfigError: There is no room for turn 0 and the current turn.
        """
        turns, _ = self._turns(view)
        responses = [self._response_length(step) for step in view.history]
        steps = [turn + response for turn, response in zip(turns, [*responses, 0], strict=True)]
        opening = len(self._encode(self.renderer.opening(view.task)))
        first_kept = 1
        for now in range(len(steps)):
            fixed = opening + (steps[0] if now else 0) + turns[now]
            kept = sum(steps[first_kept:now])
            if fixed + kept <= self.context_length:
                continue
            while first_kept < now and fixed + kept > KEPT_SHARE * self.context_length:
                kept -= steps[first_kept]
                first_kept += 1
        return first_kept

    def _ids(self, segments: Sequence[str]) -> list[int]:
        return [token for segment in segments for token in self._encode(segment)]
