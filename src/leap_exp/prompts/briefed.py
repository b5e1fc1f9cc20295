"""A student's prompts with a briefing in front: what it reads as its own teacher, and never when it acts."""

from dataclasses import dataclass, fields
from functools import cached_property

from leap_exp.core.types import Briefing, View
from leap_exp.prompts.codec import PromptCodec
from leap_exp.prompts.render import Renderer
from leap_exp.prompts.templating import render


@dataclass(frozen=True)
class BriefedRenderer(Renderer):
    """Renders what ``Renderer`` does, with the facts of ``briefing`` and the rule for them below the instructions.

    Without facts there is nothing to add: the prompt is the student's own.
    """

    briefing: Briefing

    @cached_property
    def instructions(self) -> str:
        """What the student is told, and what it is told beyond that."""
        instructions = super().instructions
        if self.briefing.facts is None:
            return instructions
        told = render(
            "self/briefing.j2",
            facts=self.briefing.facts.text,
            disclosure=self.briefing.disclosure.value,
            reasons=self.reasons,
            brief=self._is_brief,
        )
        return f"{instructions}\n{told}"


class BriefedCodec:
    """Encodes prompts with a briefing. No ``PromptCodec``, so that a student cannot act by one in place of the other.

    Args:
        codec: The student's own.
    """

    def __init__(self, codec: PromptCodec) -> None:
        self._codec = codec

    def prompt_ids(self, view: View, briefing: Briefing) -> list[int]:
        """Ids of the student's prompt for ``view`` with ``briefing``, its oldest turns dropped by the student's rule.

        Raises:
            ConfigError: If the briefing leaves no room for turn 0 and the current turn.
        """
        renderer = self._codec.renderer
        own = {field.name: getattr(renderer, field.name) for field in fields(renderer)}
        return self._codec.rendered_by(BriefedRenderer(**own, briefing=briefing)).prompt_ids(view)
