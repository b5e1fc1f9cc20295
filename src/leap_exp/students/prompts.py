"""How a student's prompts and responses become tokens: the markup, the tokenizer and the tokens that end a response."""

from collections.abc import Sequence
from datetime import UTC, datetime

from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase

from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.students.config import HfStudentConfig
from leap_exp.students.weights import is_random
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.markup import BREAK, Markup, Messages, chat_markup, plain_markup
from leap_exp.tokens.renderer import Renderer

DATE = datetime(2024, 7, 26, tzinfo=UTC)
"""Today, for templates that write the date; the one that Llama 3 falls back to. With the clock's, a run that is resumed
on another day would train and act on other prompts."""

_DIRECTIVES = "aAbBcdHIjmMpSUwWxXyYZ"
_SWITCHES = ("enable_thinking", "thinking")
"""Variables with which templates turn thinking on and off."""


def build_codec(
    config: HfStudentConfig, environment: Environment, tokenizer: PreTrainedTokenizerBase, *, source: str
) -> PromptCodec:
    """Return the codec of a student.

    Args:
        config: The student's settings.
        environment: The environment that it acts in.
        tokenizer: The model's tokenizer.
        source: What the model is loaded from.

    Raises:
        ConfigError: The chat template or the tokenizer cannot be used with these settings.
    """
    end_ids = _end_ids(tokenizer, source)
    controls = _control_tokens(tokenizer, end_ids)
    if config.format == "plain":
        markup = _plain_markup(config, tokenizer, controls)
    else:
        markup = _chat_markup(config, tokenizer, controls)

    def encode(text: str) -> list[int]:
        pieces = text.split(BREAK)
        return [token for piece in pieces for token in tokenizer(piece, add_special_tokens=False)["input_ids"]]

    before_thoughts = len(encode(markup.before_thoughts)) - len(encode(markup.before_response))
    return PromptCodec(
        Renderer(environment.prompts, markup, config),
        encode,
        context_length=config.context_length - config.max_new_tokens - config.thinking_room - max(0, before_thoughts),
        restricted=config.decoding == "admissible",
        end_ids=end_ids,
    )


def _plain_markup(config: HfStudentConfig, tokenizer: PreTrainedTokenizerBase, controls: Sequence[str]) -> Markup:
    # A line break is between reason and action, so the end of a freely written response must be another token.
    has_lines = config.reasons and config.decoding == "free"
    if has_lines and tokenizer.eos_token is None:
        raise ConfigError(
            "student.format=plain with student.reasons=true and student.decoding=free needs a token that ends a "
            "response, but the tokenizer has no EOS token; set student.reasons=false or student.decoding=admissible."
        )
    first = next(iter(tokenizer("a")["input_ids"]))
    bos = str(tokenizer.bos_token) if first == tokenizer.bos_token_id else ""
    return plain_markup(bos=bos, eos=str(tokenizer.eos_token) if has_lines else None, controls=controls)


def _chat_markup(config: HfStudentConfig, tokenizer: PreTrainedTokenizerBase, controls: Sequence[str]) -> Markup:
    def markup(thinking: bool | None) -> Markup:
        switches = {} if thinking is None else dict.fromkeys(_SWITCHES, thinking)

        def apply_template(messages: Messages, begin_response: bool) -> str:
            template = tokenizer.get_chat_template()
            text = tokenizer.apply_chat_template(
                messages,
                chat_template=_with_date(template) if "strftime_now" in template else template,
                tokenize=False,
                add_generation_prompt=begin_response,
                **switches,
            )
            return str(text)

        return chat_markup(apply_template, controls=controls)

    wanted = markup(config.thinking)
    if config.thinking and not wanted.opens_thoughts and wanted == markup(False):
        raise ConfigError(
            "student.thinking=true, but the model's chat template cannot turn thinking on; leave out student.thinking."
        )
    if config.thinking is False and wanted.opens_thoughts and config.decoding == "free":
        raise ConfigError(
            "student.thinking=false, but the model's chat template cannot turn thinking off; leave out "
            "student.thinking."
        )
    return wanted


def _with_date(template: str) -> str:
    """Return a chat template whose ``strftime_now`` writes DATE."""
    replaced = "".join(f" | replace('%{letter}', '{DATE.strftime('%' + letter)}')" for letter in _DIRECTIVES)
    unpadded = "".join(f" | replace('%-{letter}', '{DATE.strftime('%-' + letter)}')" for letter in "dHIjmMSy")
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{unpadded}{replaced} }}}}{{%- endmacro -%}}{template}"


def _end_ids(tokenizer: PreTrainedTokenizerBase, source: str) -> frozenset[int]:
    """Return the tokens with which the model itself ends a response."""
    found = [tokenizer.eos_token_id]
    if not is_random(source):
        try:
            ends = GenerationConfig.from_pretrained(source).eos_token_id
        except OSError:
            ends = getattr(AutoConfig.from_pretrained(source).get_text_config(), "eos_token_id", None)
        found += ends if isinstance(ends, list) else [ends]
    return frozenset(end for end in found if end is not None)


def _control_tokens(tokenizer: PreTrainedTokenizerBase, end_ids: frozenset[int]) -> list[str]:
    """Return the texts of the tokens that mean something to the model beyond their text, the longest first."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    ends = {str(token) for token in tokenizer.convert_ids_to_tokens(sorted(end_ids))}
    return sorted({*special, *ends, *tokenizer.all_special_tokens}, key=lambda text: (-len(text), text))
