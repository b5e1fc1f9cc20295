"""Token ids of prompts and responses, and the rule by which a prompt that grows too long loses its oldest turns."""

from dataclasses import replace
from itertools import pairwise

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, Correction, Decision, Observation, View, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.tokens.codec import KEPT_SHARE, PromptCodec
from leap_exp.tokens.markup import PLAIN_MARKUP, Markup
from leap_exp.tokens.renderer import PromptConfig, Renderer
from leap_exp.tokens.spans import training_rows
from tests.support.records import trajectory

CHAT_MARKUP = Markup(
    before_instructions="\u2460", after_instructions="\u2461", before_response="\u2462", after_response="\u2463\n"
)
TURN = len("You arrive at place 0, 0.\n> look\n")
"""Length of a turn and its response in the transcripts below, a token a character."""


def codec(*, context_length=10_000, reasons=False, markup=PLAIN_MARKUP):
    renderer = Renderer(PROMPTS, markup, PromptConfig(reasons=reasons, list_actions=False))
    return PromptCodec(renderer, lambda text: [ord(char) for char in text], context_length=context_length)


def text_of(ids):
    return "".join(map(chr, ids))


def long_views(length):
    return views(trajectory(*["look"] * length))


def kept_places(text):
    return [index for index in range(10) if f"place {index}," in text]


def test_a_prompt_s_ids_are_those_of_its_text():
    view = long_views(3)[2]
    assert text_of(codec().prompt_ids(view)) == "".join(codec().renderer.segments(view, first_kept=1))


@pytest.mark.parametrize("markup", [PLAIN_MARKUP, CHAT_MARKUP])
def test_prompt_and_response_together_begin_the_next_step_s_prompt(markup):
    of_chat = codec(markup=markup)
    episode = long_views(4)
    for view, later in pairwise(episode):
        spoken = [*of_chat.prompt_ids(view), *of_chat.response_ids(later.history[-1].decision)]
        assert of_chat.prompt_ids(later)[: len(spoken)] == spoken


def test_a_response_ends_with_the_token_at_which_generation_stops():
    of_chat = codec(markup=CHAT_MARKUP, reasons=True)
    ids = of_chat.response_ids(Decision(reason="Why not.", action="look"))
    assert text_of(ids) == "REASON: Why not.\nACTION: look\u2463"
    assert ids[-1] == of_chat.stop_id
    assert ids.count(of_chat.stop_id) == 1


def test_the_action_s_ids_end_the_response_s():
    of_chat = codec(markup=CHAT_MARKUP, reasons=True)
    whole = of_chat.response_ids(Decision(reason="Why not.", action="go to desk 1"))
    action = of_chat.action_ids("go to desk 1")
    assert text_of(action) == " go to desk 1\u2463"
    assert whole[-len(action) :] == action


def test_no_turn_is_dropped_while_the_prompt_fits_exactly():
    view = long_views(5)[4]
    exact = len(codec().prompt_ids(view))
    assert codec(context_length=exact).first_kept(view) == 1
    assert codec(context_length=exact - 1).first_kept(view) > 1


def test_the_oldest_turns_go_until_three_quarters_are_left_and_turn_0_stays():
    view = long_views(8)[7]
    limit = len(codec().prompt_ids(view)) - 1
    short = codec(context_length=limit)
    ids = short.prompt_ids(view)
    places = kept_places(text_of(ids))
    assert places[0] == 0
    assert places[1:] == list(range(short.first_kept(view), 8))
    assert len(ids) <= KEPT_SHARE * limit < len(ids) + TURN


def test_every_prompt_of_a_long_episode_fits_and_no_dropped_turn_comes_back():
    limit = 300
    short = codec(context_length=limit)
    kept = [short.first_kept(view) for view in long_views(10)]
    assert kept == sorted(kept)
    assert kept[0] == 1
    assert kept[-1] > 1
    assert max(len(short.prompt_ids(view)) for view in long_views(10)) <= limit


def test_a_prompt_extends_the_last_one_but_where_turns_are_dropped():
    short = codec(context_length=300)
    for view, later in pairwise(long_views(10)):
        last = short.prompt_ids(view)
        extends = short.prompt_ids(later)[: len(last)] == last
        assert extends == (short.first_kept(view) == short.first_kept(later))


def test_a_context_without_any_room_is_refused_with_the_setting_to_raise():
    view = View(task=long_views(1)[0].task, history=(), observation=long_views(1)[0].observation)
    with pytest.raises(ConfigError, match=r"alfworld/0: the 20 tokens that student\.context_length .*raise it"):
        codec(context_length=20).prompt_ids(view)


def episode_with_page(index, length):
    """The views of six steps, of which one shows a page of ``length`` characters."""
    whole = trajectory(*["look"] * 6)
    page = "START " + "x" * (length - 10) + " END"
    steps = list(whole.steps)
    steps[index] = replace(steps[index], observation=Observation(text=page, admissible_actions=None))
    return views(replace(whole, steps=tuple(steps)))


@pytest.mark.parametrize("page", [0, 3])
@pytest.mark.parametrize("markup", [PLAIN_MARKUP, CHAT_MARKUP])
def test_the_middle_of_a_page_that_does_not_fit_is_left_out_and_counted(page, markup):
    limit = 900
    short = codec(context_length=limit, markup=markup)
    episode = episode_with_page(page, 5000)
    for view in episode:
        text = text_of(short.prompt_ids(view))
        assert len(text) <= limit
        if len(view.history) == page:
            assert "START xxx" in text
            assert "characters left out]\nxxx" in text
            assert "xxx END" in text
    assert [short.is_observation_shortened(view) for view in episode] == [index == page for index in range(6)]
    assert len(episode[page].observation.text) == 5000


def test_a_shortened_page_is_the_same_text_in_later_prompts():
    short = codec(context_length=400)
    episode = episode_with_page(0, 5000)
    for view, later in pairwise(episode):
        if short.first_kept(view) == short.first_kept(later):
            ids = short.prompt_ids(view)
            assert short.prompt_ids(later)[: len(ids)] == ids


@pytest.mark.parametrize("page", [0, 2])
def test_training_reads_the_same_shortened_page_as_acting(page):
    short = codec(context_length=500)
    episode = episode_with_page(page, 5000)
    whole = replace(trajectory(*["look"] * 6), steps=episode[-1].history + trajectory(*["look"] * 6).steps[-1:])
    correction = Correction.of(
        whole,
        [step.decision for step in whole.steps],
        teacher_id="t",
        briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
    )
    trained = [text_of(row.tree.tokens) for row in training_rows(correction, short)]
    assert all(len(text) <= 500 + TURN for text in trained)
    for view in episode:
        assert any(text.startswith(text_of(short.prompt_ids(view))) for text in trained)


def test_a_page_that_fits_is_never_shortened():
    view = episode_with_page(3, 200)[3]
    exact = len(codec().prompt_ids(view)) - 2 * TURN
    assert not codec(context_length=exact).is_observation_shortened(view)
    assert codec(context_length=exact - 1).is_observation_shortened(view)
