"""A language model as teacher: what becomes of its answers, good and bad, in both modes."""

import json
from dataclasses import replace

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    Observation,
    PrivilegedFacts,
)
from leap_exp.teachers.llm import LlmTeacher, Mode
from leap_exp.teachers.rewriting import admissible_form
from tests import fault_server as faults
from tests.fault_server import answer
from tests.teaching_server import REASON, asked, corrections, is_ranking, teaching
from tests.unit.llm.clients import client_of
from tests.unit.records import ACTIONS, trajectory

BRIEFING = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="0", text="The mug is on desk 1."))
WALK = trajectory("look", "go to shelf 2", "go to desk 1")


def teacher_of(server, mode=Mode.TRAJECTORY, **settings):
    return LlmTeacher(client_of(server, **settings), environment="alfworld", mode=mode, seed=0)


def correct(teacher, *trajectories):
    return list(teacher.correct(trajectories, [BRIEFING] * len(trajectories)))


def said(*actions, **changes):
    """An answer with these actions for the steps."""
    steps = [{"step": place, "reason": "Because.", "action": action} for place, action in enumerate(actions, start=1)]
    return answer(json.dumps({"summary": "s", "steps": steps}), **changes)


def is_about(action, body):
    """Whether a request in step mode is for the step where the student took ``action``."""
    return f"action: {action}" in asked(body).rpartition("The step to correct:")[2]


GOOD = said("go to desk 1", "go to shelf 2", "take mug 1 from desk 1")


@pytest.mark.parametrize("mode", Mode)
def test_every_step_gets_the_model_s_decision_and_changes_are_marked(server, mode):
    server.follow(teaching())
    teacher = teacher_of(server, mode)
    (correction,) = correct(teacher, WALK)
    assert [decision.action for decision in correction.decisions] == [ACTIONS[0], ACTIONS[0], ACTIONS[1]]
    assert {decision.reason for decision in correction.decisions} == {REASON}
    assert correction.changed == (True, True, True)
    assert correction.briefing is BRIEFING
    assert correction.teacher_id == teacher.id == f"m/{mode}"
    assert len(server.bodies) == {Mode.TRAJECTORY: 1, Mode.STEP: 3}[mode]
    assert all("The mug is on desk 1." in asked(body) for body in server.bodies)


def test_an_action_that_the_model_leaves_is_no_change_but_gets_its_reason(server):
    server.follow([GOOD])
    (correction,) = correct(teacher_of(server), WALK)
    assert correction.changed == (True, False, True)
    assert correction.decisions[1] == Decision(reason="Because.", action="go to shelf 2")


def test_a_server_with_structured_output_is_told_the_form(server):
    server.follow([GOOD])
    correct(teacher_of(server), WALK)
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["summary", "steps"]
    assert schema["properties"]["steps"]["items"]["required"] == ["step", "reason", "action"]
    server.follow(teaching())
    correct(teacher_of(server, Mode.STEP), WALK)
    assert server.bodies[0]["response_format"]["json_schema"]["schema"]["required"] == ["reason", "action"]


def test_an_action_that_is_not_admissible_leaves_the_student_s_decision(server):
    server.follow([said("go to the moon", "go to shelf 1", "go to desk 1\nlook")])
    (correction,) = correct(teacher_of(server), WALK)
    assert [decision.action for decision in correction.decisions] == ["look", "go to shelf 1", "go to desk 1"]
    assert correction.decisions[0] == WALK.steps[0].decision
    assert correction.changed == (False, True, False)
    assert len(server.bodies) == 1


def test_where_neither_is_admissible_the_answer_is_asked_for_again_and_then_the_trajectory_fails(server):
    lost = trajectory("look", "fly", "look")
    bad, good = said("go to desk 1", "swim", "look"), said("go to desk 1", "go to shelf 1", "look")
    server.follow([bad, good])
    (correction,) = correct(teacher_of(server), lost)
    assert correction.decisions[1].action == "go to shelf 1"
    assert "no admissible action in place of 'fly'" in asked(server.bodies[1])
    server.follow([bad])
    (failure,) = correct(teacher_of(server, temperature=0.9), lost)
    assert isinstance(failure, CorrectionFailure)
    assert "'fly'" in failure.error
    assert len(server.bodies) == 3


GOOD_TEXT = json.loads(GOOD.body)["choices"][0]["message"]["content"]
UNUSABLE = {
    "no JSON": (answer("I would rather not."), "no JSON list 'steps'"),
    "empty": (answer(""), "it is empty"),
    "cut JSON": (faults.CUT_ANSWER, "cut off after 10 tokens (endpoint.max_tokens)"),
    "no steps": (faults.WRONG_LENGTH, "no JSON list 'steps'"),
    "too few steps": (said("look", "look"), "2 entries for 3 steps"),
    "too many steps": (said("look", "look", "look", "look"), "4 entries for 3 steps"),
    "cut after a step": (
        answer(GOOD_TEXT[:-80]),
        "entries",
    ),
    "wrong numbers": (answer(GOOD_TEXT.replace('"step": 2', '"step": 3')), "entry 2 is for step 3"),
    "no reason": (
        answer(json.dumps({"steps": [{"action": "look"}] * 3})),
        "reason and action",
    ),
    "an empty reason": (
        answer(json.dumps({"steps": [{"reason": " ", "action": "look"}] * 3})),
        "'reason' has to be a text",
    ),
    "half a character": (
        answer(json.dumps({"steps": [{"reason": "\ud83d", "action": "look"}] * 3})),
        "'reason' has to be a text",
    ),
    "nothing admissible": (said("fly", "swim", "sink"), "no admissible action: 'fly' in step 1"),
    "refused": (faults.REFUSED, "refused: 'I cannot help with that.'"),
    "filtered": (faults.FILTERED, "a filter kept it back"),
}


@pytest.mark.parametrize(("bad", "why"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_answer_of_no_use_is_asked_for_three_times_and_told_why_and_costs_no_other(server, bad, why):
    other = trajectory("look", "look", "look", name="other")
    server.follow(lambda body: GOOD if "other" in asked(body) else bad)
    failure, correction = correct(teacher_of(server), WALK, other)
    assert isinstance(failure, CorrectionFailure)
    assert failure.trajectory is WALK
    assert failure.error.startswith("None of 3 answers could be used, the last: ")
    assert why in failure.error
    assert isinstance(correction, Correction)
    tries = [body for body in server.bodies if "other" not in asked(body)]
    assert len(tries) == 3
    assert ["could not be used" in asked(body) for body in tries] == [False, True, True]
    assert why in asked(tries[1])
    assert len({body["seed"] for body in tries}) == 3


@pytest.mark.parametrize("bad", [bad for bad, _ in UNUSABLE.values()], ids=UNUSABLE.keys())
def test_a_second_answer_that_can_be_used_is_used(server, bad):
    server.follow([bad, GOOD])
    (correction,) = correct(teacher_of(server), WALK)
    assert isinstance(correction, Correction)
    assert len(server.bodies) == 2


def test_a_request_that_the_server_refuses_is_a_failure_at_once_and_costs_no_other(server):
    other = trajectory("look", "look", "look", name="other")
    server.follow(lambda body: GOOD if "other" in asked(body) else faults.TOO_LONG)
    correction, failure = correct(teacher_of(server, structured_output="no"), other, WALK)
    assert isinstance(correction, Correction)
    assert "maximum context length" in failure.error
    assert len(server.bodies) == 2


def test_what_concerns_every_request_stops_the_run(server):
    server.follow([faults.WRONG_KEY])
    with pytest.raises(ProviderError, match="TEST_CHAT_KEY"):
        correct(teacher_of(server), WALK)


def test_in_step_mode_a_step_without_an_answer_of_use_keeps_the_student_s_decision(server):
    server.follow(lambda body: answer("?") if is_about("go to shelf 2", body) else answer(corrections(body)))
    (correction,) = correct(teacher_of(server, Mode.STEP), WALK)
    assert correction.changed == (True, False, True)
    assert correction.decisions[1] == WALK.steps[1].decision
    assert len(server.bodies) == 2 + 3


def test_in_step_mode_a_trajectory_without_any_answer_or_where_nothing_can_stand_fails(server):
    server.follow([answer("?")])
    (failure,) = correct(teacher_of(server, Mode.STEP), WALK)
    assert "None of 3 answers" in failure.error
    lost = trajectory("look", "fly", "look")
    server.follow(lambda body: answer("?") if is_about("fly", body) else answer(corrections(body)))
    (failure,) = correct(teacher_of(server, Mode.STEP), lost)
    assert isinstance(failure, CorrectionFailure)
    assert "'fly'" in failure.error


def test_asked_again_a_teacher_says_the_same_and_pays_nothing(server):
    server.follow([answer("?"), GOOD])
    first = correct(teacher_of(server), WALK)
    teacher = teacher_of(server)
    assert correct(teacher, WALK) == first
    account = teacher.account()
    assert (account["replies_count"], account["cache_hits_count"], account["paid_dollars"]) == (2, 2, 0.0)
    assert len(server.bodies) == 2
    assert teacher.account() == {}


def test_the_forecast_counts_requests_and_leaves_out_what_is_known(server):
    server.follow(teaching())
    teacher = teacher_of(server, Mode.STEP)
    assert teacher.forecast([], []) == ""
    both = [WALK, trajectory("look", "look", "look", name="b")], [BRIEFING] * 2
    assert "6 requests" in teacher.forecast(*both)
    correct(teacher, WALK)
    assert "3 requests" in teacher.forecast(*both)
    assert "3 more are cached" in teacher.forecast(*both)


SHOP = Observation(text="", admissible_actions=("search[<query>]", "click[Buy Now]", "click[x]", "click[X]"))


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("click[Buy Now]", "click[Buy Now]"),
        ("Click[ buy  now]", None),
        ("CLICK[buy   now]", "click[Buy Now]"),
        ("click[x]", "click[x]"),
        ("Click[x]", None),
        ("search[red Lamp]", "search[red Lamp]"),
        ("search[<query>]", None),
        ("search[]", None),
        ("search[a\nb]", None),
        ("buy", None),
    ],
)
def test_capitals_and_blanks_do_not_matter_where_it_is_clear_what_is_meant(written, taken):
    assert admissible_form(SHOP, written) == taken


def test_where_no_actions_are_listed_any_line_will_do(server):
    step = WALK.steps[0]
    free = replace(step, observation=Observation(text="$", admissible_actions=None))
    server.follow([said("grep -c 'A  B' file")])
    (correction,) = correct(teacher_of(server), replace(WALK, steps=(free,)))
    assert correction.decisions[0].action == "grep -c 'A  B' file"
    assert admissible_form(free.observation, "ls\nrm") is None


FORKS = [["go to shelf 2", "look", "go to desk 1"], ["look"], ["take mug 1 from desk 1", "go to shelf 1", "look"]]


@pytest.mark.parametrize("mode", Mode)
def test_actions_are_worth_their_places_in_the_model_s_ranking(server, mode):
    server.follow(teaching())
    teacher = teacher_of(server, mode)
    (correction,) = correct(teacher, WALK)
    server.bodies.clear()
    ((first, second, third),) = teacher.values([correction], [FORKS])
    # It decided on the first admissible action, and ranks the first and the last in alphabetical order.
    assert first == {"go to desk 1": 0.0, "look": -1.0, "go to shelf 2": -2.0}
    assert second == {"look": -1.0}
    assert third == {"go to shelf 1": 0.0, "take mug 1 from desk 1": -1.0, "look": -2.0}
    assert len(server.bodies) == {Mode.TRAJECTORY: 1, Mode.STEP: 3}[mode]
    for body in server.bodies:
        assert is_ranking(body)
        assert "The mug is on desk 1." in asked(body)
    assert any("1. go to desk 1\n2. go to shelf 2\n3. look" in asked(body) for body in server.bodies)


@pytest.mark.parametrize("mode", Mode)
def test_without_a_ranking_of_use_nothing_is_said_of_other_actions(server, mode):
    server.follow(teaching())
    teacher = teacher_of(server, mode)
    (correction,) = correct(teacher, WALK)
    server.follow([answer("I like them all.")])
    assert teacher.values([correction], [FORKS]) == [[{}, {}, {}]]
    assert len(server.bodies) == {Mode.TRAJECTORY: 3, Mode.STEP: 9}[mode]
