"""What a model reads and writes: instructions, turns and responses."""

import pytest

from leap_exp.core.types import Decision, Observation, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.tokens.markup import PLAIN_MARKUP, Markup
from leap_exp.tokens.parser import parse_decision
from leap_exp.tokens.renderer import PromptConfig, Renderer
from tests.support.records import ACTIONS, task, trajectory

CHAT_MARKUP = Markup(
    before_instructions="<sys>", after_instructions="<user>", before_response="<you>", after_response="<user>"
)


def renderer(**changes):
    markup = changes.pop("markup", CHAT_MARKUP)
    return Renderer(PROMPTS, markup, PromptConfig(**{"reasons": False, "list_actions": False, **changes}))


def prompt(view, *, first_kept=1, **changes):
    return "".join(renderer(**changes).segments(view, first_kept=first_kept))


def test_a_plain_prompt_is_a_transcript():
    view = views(trajectory("look", "go to desk 1"))[1]
    assert prompt(view, markup=PLAIN_MARKUP) == (
        "Solve the household task, one command at a time.\n"
        "You arrive at place 0, 0.\n> look\n"
        "You arrive at place 1, 0.\n>"
    )


def test_a_chat_prompt_alternates_and_ends_where_the_response_begins():
    view = views(trajectory("look", "go to desk 1"))[1]
    text = prompt(view)
    assert text.startswith("<sys>")
    assert text.endswith("<user>You arrive at place 0, 0.<you> look<user>You arrive at place 1, 0.<you>")


def test_instructions_say_what_is_asked_for_and_no_more():
    both, neither = (each.opening(task()) for each in (renderer(reasons=True, list_actions=True), renderer()))
    assert "REASON:" in both
    assert "ACTION:" in both
    assert "possible now" in both
    assert "REASON:" not in neither
    assert "possible now" not in neither


def test_admissible_actions_are_listed_in_the_environment_s_order_where_there_are_any():
    listing = renderer(list_actions=True)
    text = listing.turn(task(), Observation(text="You see a desk.", admissible_actions=ACTIONS))
    assert text == "You see a desk.\nAdmissible actions:\n" + "\n".join(f"- {a}" for a in ACTIONS) + "<you>"
    assert listing.turn(task(), Observation(text="$ ", admissible_actions=None)) == "$<you>"


def test_the_task_can_be_repeated_next_to_where_it_is_decided_on():
    text = renderer(remind=True).turn(task(), Observation(text="You see a desk.", admissible_actions=ACTIONS))
    assert text == "You see a desk.\n[put a mug in shelf.]<you>"


@pytest.mark.parametrize("reasons", [False, True])
def test_what_is_rendered_as_a_response_is_read_back_as_the_same_decision(reasons):
    decision = Decision(reason="Mugs are often on desks." if reasons else "", action="go to desk 1")
    written = "".join(renderer(reasons=reasons).response(decision))
    assert parse_decision(written, reasons=reasons) == decision


def test_a_reason_of_several_lines_is_written_on_one():
    written = "".join(renderer(reasons=True).response(Decision(reason="Mugs are\n often on desks.", action="look")))
    assert written == "REASON: Mugs are often on desks.\nACTION: look"


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize("list_actions", [False, True])
@pytest.mark.parametrize("remind", [False, True])
def test_a_step_s_prompt_extends_the_last_step_s(reasons, list_actions, remind):
    prompts = [
        prompt(view, reasons=reasons, list_actions=list_actions, remind=remind)
        for view in views(trajectory("look", "go to desk 1", "look"))
    ]
    assert prompts[1].startswith(prompts[0])
    assert prompts[2].startswith(prompts[1])


def test_dropped_turns_leave_the_first_turn_and_the_latest_ones():
    view = views(trajectory("look", "look", "look", "look"))[3]
    text = prompt(view, first_kept=2)
    assert [f"place {index}" in text for index in range(4)] == [True, False, True, True]
