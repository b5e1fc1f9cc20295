"""The text between the parts of a conversation, from a model's chat template or for a plain transcript."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from jinja2 import TemplateError

from leap_exp.core.errors import ConfigError

Messages = Sequence[Mapping[str, str]]

BREAK = "\ufdd0"
"""Where a text is split before it is encoded. This code point is no character, so it is in no text."""

_SENTINELS = ("\u27e6system\u27e7", "\u27e6user-0\u27e7", "\u27e6assistant-0\u27e7", "\u27e6user-1\u27e7")
_ROLES = ("system", "user", "assistant", "user")
_THOUGHT_START = re.compile(r"<think(?:ing)?>|\[THINK\]", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>|\[/THINK\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """The text around instructions and responses.

    A conversation is ``before_instructions``, instructions, ``after_instructions``, turn 0, ``before_response``,
    response 0, ``after_response``, turn 1, ``before_response``, and so on. Each step's prompt extends the previous one.

    Attributes:
        before_thoughts: Replaces the last ``before_response`` if the student may think before it answers; empty if it
            is the same. Thoughts are not kept in the conversation.
        controls: Texts of the tokenizer's control tokens.
        is_transcript: Whether this is a plain transcript, whose instructions are one line.
    """

    before_instructions: str
    after_instructions: str
    before_response: str
    after_response: str
    before_thoughts: str = ""
    controls: tuple[str, ...] = ()
    is_transcript: bool = False

    @property
    def ends_with_line(self) -> bool:
        """Whether a line break ends a response, so that a response is one line."""
        return self.after_response.startswith("\n")

    @property
    def opens_thoughts(self) -> bool:
        """Whether ``before_thoughts`` ends within thoughts, so that the student only writes their end."""
        return _opens_thoughts(self.before_thoughts)

    def as_text(self, text: str) -> str:
        """Return ``text`` with a BREAK within each control token, so that a tokenizer reads it as ordinary text.

        A command or a page may print ``<|im_end|>``, which must not end the turn.
        """
        longer = [re.escape(control) for control in self.controls if len(control) > 1]
        pattern = "|".join(sorted(longer, key=len, reverse=True))
        while pattern and re.search(pattern, text):
            text = re.sub(pattern, lambda found: f"{found[0][0]}{BREAK}{found[0][1:]}", text)
        return text


PLAIN_MARKUP = Markup(
    before_instructions="", after_instructions="\n", before_response="\n>", after_response="\n", is_transcript=True
)
"""A plain transcript, with a prompt sign before each command."""

MESSAGES_MARKUP = Markup(
    before_instructions="<|system|>",
    after_instructions="<|user|>",
    before_response="<|assistant|>",
    after_response="<|user|>",
)
"""Used to measure prompts for chat servers, whose own markup is unknown: about three tokens per message."""


def chat_markup(apply_template: Callable[[Messages, bool], str], *, controls: Collection[str]) -> Markup:
    """Return the markup of a chat template, read from a short conversation.

    Args:
        apply_template: Renders messages, with or without the beginning of a response after them.
        controls: Texts of the tokenizer's control tokens. One of them must end a response.

    Raises:
        ConfigError: There is no template, it rejects, reorders or changes messages, or responses have no end mark.
    """
    messages = [{"role": role, "content": mark} for role, mark in zip(_ROLES, _SENTINELS, strict=True)]
    try:
        pieces = _around(_SENTINELS, apply_template(messages, False))
        begun = _around(_SENTINELS[:2], apply_template(messages[:2], True))[-1]
    except (TemplateError, ValueError) as error:
        # Some templates have no system message; a tokenizer without a template raises ValueError.
        raise ConfigError(
            f"The model's chat template cannot be used ({error}); set student.format=plain for this model."
        ) from error
    before_response, after_response = pieces[2:4]
    if not after_response.startswith(tuple(controls)):
        raise ConfigError(
            f"The model's chat template has no end mark: after a response it writes {after_response!r}, which is not "
            "a control token and may be part of a response; set student.format=plain for this model."
        )
    before_thoughts = ""
    if begun.startswith(before_response) and _THOUGHT_END.search(begun, len(before_response)):
        before_response = begun
    elif _opens_thoughts(begun) or (_THOUGHT_END.search(before_response) and not _THOUGHT_END.search(begun)):
        before_thoughts = begun
    return Markup(
        before_instructions=pieces[0],
        after_instructions=pieces[1],
        before_response=before_response,
        after_response=after_response,
        before_thoughts=before_thoughts,
        controls=tuple(controls),
    )


def plain_markup(*, bos: str, eos: str | None, controls: Collection[str]) -> Markup:
    """Return the markup of a plain transcript.

    Args:
        bos: The token that the tokenizer puts before a text; empty if none.
        eos: Ends responses instead of a line break; None for the line break.
        controls: Texts of the tokenizer's control tokens.
    """
    after_response = PLAIN_MARKUP.after_response if eos is None else f"{eos}{PLAIN_MARKUP.after_response}"
    return replace(PLAIN_MARKUP, before_instructions=bos, after_response=after_response, controls=tuple(controls))


def _around(marks: Sequence[str], text: str) -> list[str]:
    """Return the text before each of ``marks``, and the text after the last; raises ConfigError if one is missing."""
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        if not found:
            raise ConfigError(
                "The model's chat template does not keep a system, user, assistant, user conversation in order; "
                "set student.format=plain for this model."
            )
        pieces.append(piece)
    return [*pieces, text]


def _opens_thoughts(text: str) -> bool:
    """Return whether ``text`` ends within thoughts."""
    starts = list(_THOUGHT_START.finditer(text))
    return bool(starts) and not _THOUGHT_END.search(text, starts[-1].end())
