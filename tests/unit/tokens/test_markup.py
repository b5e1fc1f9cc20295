"""What is read off a chat template: the text between the parts of a conversation, for templates of several shapes."""

import jinja2
import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.tokens.markup import chat_markup

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
WITHOUT_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
SHOUTING = "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}\n{% endfor %}"

KEPT_IN_ORDER = {**PER_MESSAGE, "system_in_first_user": SYSTEM_IN_FIRST_USER}


def rendered(template, messages):
    return jinja2.Template(template, keep_trailing_newline=True).render(messages=messages, add_generation_prompt=False)


def markup_of(template):
    return chat_markup(lambda messages: rendered(template, messages))


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
