"""A student's prompts with a briefing: what it reads when it is its own teacher, and never when it acts."""

from dataclasses import replace

from leap_exp.core.types import Briefing, View
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
        renderer = replace(self._codec.renderer, briefing=briefing)
        return self._codec.with_renderer(renderer).prompt_ids(view, thinking=thinking)
