"""Thinking before an answer: its own share of tokens, after which the student decides as without thoughts."""

import re
from collections.abc import Sequence
from dataclasses import replace

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import DecisionFailure
from leap_exp.students.config import HfStudentConfig
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.engine import Engine, Generation, Prompt, Sampling

_OPENING = re.compile(r"\s*(?:<(?P<name>think(?:ing)?)>|\[THINK\])", re.IGNORECASE)
_ENDS = ("</think>", "</thinking>", "[/THINK]")


class Thinker:
    """Lets a student think for up to ``student.max_thinking_tokens`` tokens.

    Args:
        codec: The student's prompts.
        config: The student's settings.

    Raises:
        ConfigError: Actions are chosen after the thoughts, and no single token ends those.
    """

    def __init__(self, codec: PromptCodec, config: HfStudentConfig) -> None:
        self._codec = codec
        self._budget = config.max_thinking_tokens
        marks = [(mark, codec.text_ids(mark)) for mark in _ENDS]
        self._end_ids = frozenset(ids[0] for _, ids in marks if len(ids) == 1)
        if not self._end_ids and config.decoding == "admissible":
            raise ConfigError(
                "student.thinking=true does not work with student.decoding=admissible and this model, because it has "
                "no token that ends thoughts; set student.decoding=free."
            )

    @property
    def ends_with_token(self) -> bool:
        """Whether one token ends thoughts. If not, they are written together with the answer."""
        return bool(self._end_ids)

    def think(
        self, engine: Engine, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Prompt | Generation | DecisionFailure]:
        """Return each prompt with thoughts behind it, or the whole answer of a student that did not think.

        Thoughts that do not end within their share of tokens are ended there.
        """
        stop_ids = self._codec.stop_ids | self._end_ids
        results = engine.generate(prompts, stop_ids=stop_ids, max_new_tokens=self._budget, sampling=sampling)
        return [
            result if isinstance(result, DecisionFailure) else self._after(prompt, result)
            for prompt, result in zip(prompts, results, strict=True)
        ]

    def _after(self, prompt: Prompt, thoughts: Generation) -> Prompt | Generation:
        markup = self._codec.renderer.markup
        opened = list(_OPENING.finditer(markup.before_thoughts)) if markup.opens_thoughts else []
        opening = opened[-1] if opened else _OPENING.match(thoughts.text)
        if opening is None:
            return thoughts
        end = f"</{opening['name']}>" if opening["name"] else "[/THINK]"
        closed = f"{thoughts.text.rstrip()}\n{end}\n\n"
        return replace(prompt, ids=[*prompt.ids, *self._codec.text_ids(closed)])
