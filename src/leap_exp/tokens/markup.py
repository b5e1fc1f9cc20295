"""The text between the parts of a conversation, from a model's chat template or for a plain transcript."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import TemplateError

from leap_exp.core.errors import ConfigError

Messages = Sequence[Mapping[str, str]]

_SENTINELS = ("\u27e6system\u27e7", "\u27e6user-0\u27e7", "\u27e6assistant-0\u27e7", "\u27e6user-1\u27e7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """The text around instructions and responses.

    A conversation is ``before_instructions``, instructions, ``after_instructions``, turn 0, ``before_response``,
    response 0, ``after_response``, turn 1, ``before_response``, and so on. Each step's prompt extends the previous one.
    """

    before_instructions: str
    after_instructions: str
    before_response: str
    after_response: str


PLAIN_MARKUP = Markup(before_instructions="", after_instructions="\n", before_response="\n>", after_response="\n")
"""A plain transcript, with a prompt sign before each command."""

MESSAGES_MARKUP = Markup(
    before_instructions="<|system|>",
    after_instructions="<|user|>",
    before_response="<|assistant|>",
    after_response="<|user|>",
)
"""Used to measure prompts for chat servers, whose own markup is unknown: about three tokens per message."""


def chat_markup(apply_template: Callable[[Messages], str]) -> Markup:
    """Return the markup of a chat template, read from a short conversation rendered by ``apply_template``.

    Raises:
        ConfigError: There is no template, or it rejects, reorders or changes messages.
    """
    roles = ("system", "user", "assistant", "user")
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, _SENTINELS, strict=True)]
    try:
        text = apply_template(messages)
    except (TemplateError, ValueError) as error:
        # Some templates have no system message; a tokenizer without a template raises ValueError.
        raise ConfigError(
            f"The model's chat template cannot be used ({error}); set student.format=plain for this model."
        ) from error
    pieces = []
    for mark in _SENTINELS:
        piece, found, text = text.partition(mark)
        if not found:
            raise ConfigError(
                "The model's chat template does not keep a system, user, assistant, user conversation in order; "
                "set student.format=plain for this model."
            )
        pieces.append(piece)
    return Markup(
        before_instructions=pieces[0],
        after_instructions=pieces[1],
        before_response=pieces[2],
        after_response=pieces[3],
    )
