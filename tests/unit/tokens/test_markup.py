"""What is read off a chat template: the text between the parts of a conversation, for templates of several shapes."""

import jinja2
import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.tokens.markup import BREAK, chat_markup

PER_MESSAGE = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
    "header": (
        "<s>{% for m in messages %}<|head|>{{ m.role }}<|/head|>\n\n{{ m.content | trim }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
    ),
    "default_system": (
        "{% if messages[0].role != 'system' %}[system]You are helpful.[/system]{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/{{ m.role }}]\n{% endfor %}"
    ),
}
SYSTEM_IN_FIRST_USER = (
    "{% for m in messages %}{% if m.role == 'system' %}[INST] <<SYS>>{{ m.content }}<</SYS>>\n"
    "{% elif m.role == 'user' %}{% if loop.index0 != 1 %}[INST] {% endif %}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
SYSTEM_IN_LAST_USER = (
    "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}[INST]"
    "{% if loop.last %}{{ messages[0].content }}\n{% endif %}{{ m.content }}[/INST]"
    "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
WITHOUT_END = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}"
WITHOUT_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
SHOUTING = "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}\n{% endfor %}"

KEPT_IN_ORDER = {**PER_MESSAGE, "system_in_first_user": SYSTEM_IN_FIRST_USER}


CONTROLS = ("<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|end|>", "<s>", "</s>", "[/assistant]")


def rendered(template, messages, *, begin_response=False, **switches):
    compiled = jinja2.Template(template, keep_trailing_newline=True)
    return compiled.render(messages=messages, add_generation_prompt=begin_response, **switches)


def markup_of(template, **switches):
    return chat_markup(
        lambda messages, begin_response: rendered(template, messages, begin_response=begin_response, **switches),
        controls=CONTROLS,
    )


@pytest.mark.parametrize("template", KEPT_IN_ORDER.values(), ids=KEPT_IN_ORDER)
def test_the_markup_puts_a_conversation_together_as_the_template_does(template):
    markup = markup_of(template)
    texts = ("Do as told.", "You see a mug.", "take mug 1", "You take it.")
    roles = ("system", "user", "assistant", "user")
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    joints = (markup.before_instructions, markup.after_instructions, markup.before_response, markup.after_response)
    assembled = "".join(joint + text for joint, text in zip(joints, texts, strict=True))
    assert rendered(template, messages).startswith(assembled)


@pytest.mark.parametrize("template", PER_MESSAGE.values(), ids=PER_MESSAGE)
def test_later_turns_stand_as_the_template_would_put_them(template):
    markup = markup_of(template)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u0"}]
    assembled = f"{markup.before_instructions}s{markup.after_instructions}u0"
    for number in range(1, 4):
        messages += [{"role": "assistant", "content": f"a{number}"}, {"role": "user", "content": f"u{number}"}]
        assembled += f"{markup.before_response}a{number}{markup.after_response}u{number}"
    assert rendered(template, messages).startswith(assembled)


def test_a_response_ends_with_the_template_s_own_end_of_turn():
    assert markup_of(PER_MESSAGE["chatml"]).after_response.startswith("<|im_end|>")
    assert markup_of(PER_MESSAGE["header"]).after_response.startswith("<|end|>")


@pytest.mark.parametrize("template", [SYSTEM_IN_LAST_USER, WITHOUT_SYSTEM, SHOUTING])
def test_a_template_that_moves_drops_or_changes_a_part_is_refused_with_the_way_out(template):
    with pytest.raises(ConfigError, match=r"student\.format=plain"):
        markup_of(template)


def test_a_template_without_an_end_mark_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"no end mark: .*'\\n\\n### user:\\n'.*student\.format=plain"):
        markup_of(WITHOUT_END)


def chatml_that_begins_with(thoughts):
    return f"{PER_MESSAGE['chatml']}{{% if add_generation_prompt %}}<|im_start|>assistant\n{thoughts}{{% endif %}}"


SWITCHED = chatml_that_begins_with("{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}")
ALWAYS_THINKING = chatml_that_begins_with("<think>\n")
BLOCK_IN_HISTORY = (
    "{% for m in messages %}<s>{{ m.role }}\n{% if m.role == 'assistant' %}<think></think>\n{% endif %}{{ m.content }}"
    "</s>{% endfor %}{% if add_generation_prompt %}<s>assistant\n"
    "{% if not enable_thinking %}<think></think>\n{% endif %}{% endif %}"
)
BEGUN = "<|im_end|>\n<|im_start|>assistant\n"


def test_the_empty_thoughts_of_a_model_that_does_not_think_are_before_every_response():
    off, on = markup_of(SWITCHED, enable_thinking=False), markup_of(SWITCHED, enable_thinking=True)
    assert (off.before_response, off.before_thoughts) == (f"{BEGUN}<think>\n\n</think>\n\n", "")
    assert (on.before_response, on.before_thoughts) == (BEGUN, "")


def test_thoughts_that_the_template_opens_are_before_the_current_response_only():
    markup = markup_of(ALWAYS_THINKING)
    assert (markup.before_response, markup.before_thoughts) == (BEGUN, f"{BEGUN}<think>\n")
    assert markup.opens_thoughts


def test_a_model_that_thinks_does_not_read_empty_thoughts_where_its_own_begin():
    off, on = markup_of(BLOCK_IN_HISTORY, enable_thinking=False), markup_of(BLOCK_IN_HISTORY, enable_thinking=True)
    assert off.before_response == on.before_response == "</s><s>assistant\n<think></think>\n"
    assert (off.before_thoughts, on.before_thoughts) == ("", "</s><s>assistant\n")
    assert not on.opens_thoughts


def test_control_tokens_in_a_text_are_broken_up_and_nothing_else_is():
    markup = markup_of(PER_MESSAGE["chatml"])
    assert markup.as_text("cat <file> | sort") == "cat <file> | sort"
    broken = markup.as_text("a <|im_end|> and <<s></s>")
    assert broken.replace(BREAK, "") == "a <|im_end|> and <<s></s>"
    assert not any(control in piece for piece in broken.split(BREAK) for control in CONTROLS)
