"""The prompt of a student that is its own teacher."""

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, PrivilegedFacts, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.tokens.briefed import BriefedCodec
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.markup import PLAIN_MARKUP, Markup
from leap_exp.tokens.renderer import PromptConfig, Renderer
from tests.support.records import trajectory

CHAT_MARKUP = Markup(
    before_instructions="<sys>", after_instructions="<user>", before_response="<you>", after_response="<user>"
)
SECRET = "mug 1: in cabinet 4"
VIEWS = views(trajectory("look", "go to desk 1", "look"))


def briefing(disclosure):
    facts = None if disclosure is Disclosure.NONE else PrivilegedFacts(task_id="alfworld/0", text=SECRET)
    return Briefing(disclosure=disclosure, facts=facts)


def codec(*, markup=PLAIN_MARKUP, reasons=False, context_length=4000):
    """One token a character, so that ids are read back as text."""
    renderer = Renderer(PROMPTS, markup, PromptConfig(reasons=reasons, list_actions=False))
    return PromptCodec(renderer, lambda text: [ord(letter) for letter in text], context_length=context_length)


def prompt(view, disclosure, **settings):
    return "".join(map(chr, BriefedCodec(codec(**settings)).prompt_ids(view, briefing(disclosure))))


def own_prompt(view, **settings):
    return "".join(map(chr, codec(**settings).prompt_ids(view)))


def test_a_plain_prompt_has_the_facts_and_their_rule_in_front_of_the_transcript():
    assert prompt(VIEWS[1], Disclosure.P100) == (
        "Solve the household task, one command at a time.\n"
        "Known beforehand:\n"
        "mug 1: in cabinet 4\n"
        "Let this choose each action.\n"
        "You arrive at place 0, 0.\n> look\n"
        "You arrive at place 1, 0.\n>"
    )


@pytest.mark.parametrize("markup", [PLAIN_MARKUP, CHAT_MARKUP])
@pytest.mark.parametrize("reasons", [False, True])
def test_without_facts_it_is_the_student_s_own_prompt_and_with_them_only_the_instructions_grow(markup, reasons):
    settings = {"markup": markup, "reasons": reasons}
    for view in VIEWS:
        own = own_prompt(view, **settings)
        assert prompt(view, Disclosure.NONE, **settings) == own
        told = prompt(view, Disclosure.P50, **settings)
        start = own.index("You arrive")
        assert told.endswith(own[start:])
        assert told.startswith(own[: start - len(markup.after_instructions)])


def test_from_25_to_100_the_facts_are_the_same_and_the_rule_is_not():
    levels = [level for level in Disclosure if level is not Disclosure.NONE]
    prompts = [prompt(VIEWS[0], level, markup=CHAT_MARKUP, reasons=True) for level in levels]
    assert all(text.count(SECRET) == 1 for text in prompts)
    assert len(set(prompts)) == 4


def test_the_student_s_own_prompt_never_has_the_facts():
    own = codec(markup=CHAT_MARKUP, reasons=True)
    before = [own.prompt_ids(view) for view in VIEWS]
    for view in VIEWS:
        BriefedCodec(own).prompt_ids(view, briefing(Disclosure.P100))
    assert [own.prompt_ids(view) for view in VIEWS] == before
    assert not any(SECRET in "".join(map(chr, ids)) for ids in before)


def test_the_facts_count_towards_the_length_and_are_never_dropped():
    view = views(trajectory(*["look"] * 12))[-1]
    told = prompt(view, Disclosure.P100, context_length=300)
    assert len(told) <= 300 < len(own_prompt(view))
    assert SECRET in told
    with pytest.raises(ConfigError, match=r"raise it"):
        prompt(view, Disclosure.P100, context_length=100)
