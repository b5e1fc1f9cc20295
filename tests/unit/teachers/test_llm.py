"""The language-model teacher: what happens to usable and unusable answers, in both modes."""

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
    EnvironmentPrompts,
    Observation,
    PrivilegedFacts,
)
from leap_exp.teachers.llm import CorrectionMode, LlmTeacher
from tests.support import fault_server as faults
from tests.support.clients import client_of
from tests.support.fault_server import answer
from tests.support.records import ACTIONS, trajectory
from tests.support.teaching_server import REASON, asked, corrections, is_ranking, teaching

BRIEFING = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="0", text="The mug is on desk 1."))
WALK = trajectory("look", "go to shelf 2", "go to desk 1")


def teacher_of(server, mode=CorrectionMode.TRAJECTORY, **settings):
    return LlmTeacher(client_of(server, **settings), EnvironmentPrompts(student=""), mode=mode, seed=0)


def correct(teacher, *trajectories):
    return list(teacher.correct(trajectories, [BRIEFING] * len(trajectories)))


def answer_with(*actions, **changes):
    """Answer with these actions for the steps."""
    steps = [{"step": place, "reason": "Because.", "action": action} for place, action in enumerate(actions, start=1)]
    return answer(json.dumps({"summary": "s", "steps": steps}), **changes)


def is_about(action, body):
    """Whether a request in step mode is about the step where the student took ``action``."""
    return f"action: {action}" in asked(body).rpartition("The step to correct:")[2]


GOOD = answer_with("go to desk 1", "go to shelf 2", "take mug 1 from desk 1")


@pytest.mark.parametrize("mode", CorrectionMode)
def test_every_step_gets_the_models_decision_and_changes_are_marked(server, mode):
    server.follow(teaching())
    teacher = teacher_of(server, mode)
    (correction,) = correct(teacher, WALK)
    assert [decision.action for decision in correction.decisions] == [ACTIONS[0], ACTIONS[0], ACTIONS[1]]
    assert {decision.reason for decision in correction.decisions} == {REASON}
    assert correction.changed == (True, True, True)
    assert correction.briefing is BRIEFING
    assert correction.teacher_id == teacher.id == f"m/{mode}"
    assert len(server.bodies) == {CorrectionMode.TRAJECTORY: 1, CorrectionMode.STEP: 3}[mode]
    assert all("The mug is on desk 1." in asked(body) for body in server.bodies)


def test_an_action_that_the_model_keeps_is_unchanged_but_gets_its_reason(server):
    server.follow([GOOD])
    (correction,) = correct(teacher_of(server), WALK)
    assert correction.changed == (True, False, True)
    assert correction.decisions[1] == Decision(reason="Because.", action="go to shelf 2")


def test_the_schema_of_the_answer_is_sent(server):
    server.follow([GOOD])
    correct(teacher_of(server), WALK)
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["summary", "steps"]
    assert schema["properties"]["steps"]["items"]["required"] == ["step", "reason", "action"]
    server.follow(teaching())
    correct(teacher_of(server, CorrectionMode.STEP), WALK)
    assert server.bodies[0]["response_format"]["json_schema"]["schema"]["required"] == ["reason", "action"]


def test_an_inadmissible_action_keeps_the_students_decision(server):
    server.follow([answer_with("go to the moon", "go to shelf 1", "go to desk 1\nlook")])
    (correction,) = correct(teacher_of(server), WALK)
    assert [decision.action for decision in correction.decisions] == ["look", "go to shelf 1", "go to desk 1"]
    assert correction.decisions[0] == WALK.steps[0].decision
    assert correction.changed == (False, True, False)
    assert len(server.bodies) == 1


def test_if_neither_action_is_admissible_the_model_is_asked_again_and_then_the_correction_fails(server):
    lost = trajectory("look", "fly", "look")
    bad, good = answer_with("go to desk 1", "swim", "look"), answer_with("go to desk 1", "go to shelf 1", "look")
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
    "too few steps": (answer_with("look", "look"), "2 entries for 3 steps"),
    "too many steps": (answer_with("look", "look", "look", "look"), "4 entries for 3 steps"),
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
    "nothing admissible": (answer_with("fly", "swim", "sink"), "no admissible action: 'fly' in step 1"),
    "refused": (faults.REFUSED, "refused: 'I cannot help with that.'"),
    "filtered": (faults.FILTERED, "a filter kept it back"),
}


@pytest.mark.parametrize(("bad", "why"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_answer_is_asked_for_three_times_with_the_reason_and_affects_no_other_trajectory(server, bad, why):
    other = trajectory("look", "look", "look", name="other")
    server.follow(lambda body: GOOD if "other" in asked(body) else bad)
    failure, correction = correct(teacher_of(server), WALK, other)
    assert isinstance(failure, CorrectionFailure)
    assert failure.trajectory is WALK
    assert failure.error.startswith("None of 3 answers could be used, the last one: ")
    assert why in failure.error
    assert isinstance(correction, Correction)
    tries = [body for body in server.bodies if "other" not in asked(body)]
    assert len(tries) == 3
    assert ["could not be used" in asked(body) for body in tries] == [False, True, True]
    assert why in asked(tries[1])
    assert len({body["seed"] for body in tries}) == 3


@pytest.mark.parametrize("bad", [bad for bad, _ in UNUSABLE.values()], ids=UNUSABLE.keys())
def test_a_usable_second_answer_is_used(server, bad):
    server.follow([bad, GOOD])
    (correction,) = correct(teacher_of(server), WALK)
    assert isinstance(correction, Correction)
    assert len(server.bodies) == 2


def test_a_rejected_request_fails_at_once_and_affects_no_other_trajectory(server):
    other = trajectory("look", "look", "look", name="other")
    server.follow(lambda body: GOOD if "other" in asked(body) else faults.TOO_LONG)
    correction, failure = correct(teacher_of(server, structured_output="no"), other, WALK)
    assert isinstance(correction, Correction)
    assert "maximum context length" in failure.error
    assert len(server.bodies) == 2


def test_an_error_that_affects_all_requests_stops_the_run(server):
    server.follow([faults.WRONG_KEY])
    with pytest.raises(ProviderError, match="TEST_CHAT_KEY"):
        correct(teacher_of(server), WALK)


def test_in_step_mode_a_step_without_a_usable_answer_keeps_the_students_decision(server):
    server.follow(lambda body: answer("?") if is_about("go to shelf 2", body) else answer(corrections(body)))
    (correction,) = correct(teacher_of(server, CorrectionMode.STEP), WALK)
    assert correction.changed == (True, False, True)
    assert correction.decisions[1] == WALK.steps[1].decision
    assert len(server.bodies) == 2 + 3


def test_in_step_mode_a_correction_fails_without_any_answer_or_admissible_action(server):
    server.follow([answer("?")])
    (failure,) = correct(teacher_of(server, CorrectionMode.STEP), WALK)
    assert "None of 3 answers" in failure.error
    lost = trajectory("look", "fly", "look")
    server.follow(lambda body: answer("?") if is_about("fly", body) else answer(corrections(body)))
    (failure,) = correct(teacher_of(server, CorrectionMode.STEP), lost)
    assert isinstance(failure, CorrectionFailure)
    assert "'fly'" in failure.error


def test_a_repeated_correction_is_the_same_and_free(server):
    server.follow([answer("?"), GOOD])
    first = correct(teacher_of(server), WALK)
    teacher = teacher_of(server)
    assert correct(teacher, WALK) == first
    usage = teacher.usage()
    assert (usage["replies_count"], usage["cache_hits_count"], usage["paid_dollars"]) == (2, 2, 0.0)
    assert len(server.bodies) == 2
    assert teacher.usage() == {}


def test_the_estimate_counts_requests_without_those_that_are_cached(server):
    server.follow(teaching())
    teacher = teacher_of(server, CorrectionMode.STEP)
    assert teacher.estimate([], []) == ""
    both = [WALK, trajectory("look", "look", "look", name="b")], [BRIEFING] * 2
    assert "6 requests" in teacher.estimate(*both)
    correct(teacher, WALK)
    assert "3 requests" in teacher.estimate(*both)
    assert "3 more are cached" in teacher.estimate(*both)


def test_if_no_actions_are_listed_any_command_is_accepted(server):
    step = WALK.steps[0]
    free = replace(step, observation=Observation(text="$", admissible_actions=None))
    server.follow([answer_with("grep -c 'A  B' file")])
    (correction,) = correct(teacher_of(server), replace(WALK, steps=(free,)))
    assert correction.decisions[0].action == "grep -c 'A  B' file"


FORKS = [["go to shelf 2", "look", "go to desk 1"], ["look"], ["take mug 1 from desk 1", "go to shelf 1", "look"]]


@pytest.mark.parametrize("mode", CorrectionMode)
def test_action_values_are_minus_the_ranks_in_the_models_ranking(server, mode):
    server.follow(teaching())
    teacher = teacher_of(server, mode)
    (correction,) = correct(teacher, WALK)
    server.bodies.clear()
    ((first, second, third),) = teacher.action_values([correction], [FORKS])
    # It decides on the first admissible action, and ranks the first and the last in alphabetical order.
    assert first == {"go to desk 1": 0.0, "look": -1.0, "go to shelf 2": -2.0}
    assert second == {"look": -1.0}
    assert third == {"go to shelf 1": 0.0, "take mug 1 from desk 1": -1.0, "look": -2.0}
    assert len(server.bodies) == {CorrectionMode.TRAJECTORY: 1, CorrectionMode.STEP: 3}[mode]
    for body in server.bodies:
        assert is_ranking(body)
        assert "The mug is on desk 1." in asked(body)
    assert any("1. go to desk 1\n2. go to shelf 2\n3. look" in asked(body) for body in server.bodies)


@pytest.mark.parametrize("mode", CorrectionMode)
def test_without_a_usable_ranking_there_are_no_action_values(server, mode):
    server.follow(teaching())
    teacher = teacher_of(server, mode)
    (correction,) = correct(teacher, WALK)
    server.follow([answer("I like them all.")])
    assert teacher.action_values([correction], [FORKS]) == [[{}, {}, {}]]
    assert len(server.bodies) == {CorrectionMode.TRAJECTORY: 3, CorrectionMode.STEP: 9}[mode]
