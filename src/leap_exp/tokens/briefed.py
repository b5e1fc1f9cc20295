"""A student's prompts with a briefing: what it reads when it teaches or is taught, and never when it acts."""

from collections.abc import Iterator
from dataclasses import replace

from leap_exp.core.types import Briefing, Correction, View
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.spans import Role, Row, training_rows


class BriefedCodec:
    """Encodes prompts with a briefing.

    It is not a ``PromptCodec``, so that a student cannot act on such a prompt by mistake.
    """

    def __init__(self, codec: PromptCodec) -> None:
        self._codec = codec

    def prompt_ids(self, view: View, briefing: Briefing, *, thinking: bool = False) -> list[int]:
        """Return the token ids of the prompt for ``view`` with ``briefing``; old turns are dropped as usual.

        Raises:
            ConfigError: The briefing leaves no room for turn 0 and the current turn.
        """
        return self._with(briefing).prompt_ids(view, thinking=thinking)

    def training_rows(
        self, correction: Correction, *, steps: frozenset[int] | None, roles: frozenset[Role]
    ) -> Iterator[Row]:
        """Yield the rows of ``correction`` as ``training_rows`` does, with its briefing in the prompts.

        Raises:
            ConfigError: The briefing leaves no room for turn 0 and the current turn.
        """
        return training_rows(correction, self._with(correction.briefing), steps=steps, roles=roles)

    def _with(self, briefing: Briefing) -> PromptCodec:
        return self._codec.with_renderer(replace(self._codec.renderer, briefing=briefing))
