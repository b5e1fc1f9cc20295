"""A student's prompts with a briefing: what it reads when it teaches or is taught, and never when it acts."""

from dataclasses import replace

from leap_exp.core.types import Briefing, Correction, View
from leap_exp.tokens.codec import PromptCodec


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

    def of(self, correction: Correction) -> PromptCodec:
        """Return a codec that shows the briefing of ``correction``, for rows to train on or to compare with."""
        return self._with(correction.briefing)

    def _with(self, briefing: Briefing) -> PromptCodec:
        return self._codec.with_renderer(replace(self._codec.renderer, briefing=briefing))
