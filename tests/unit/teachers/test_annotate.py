"""Reasons for demonstrations: where there were none, from what was known, for whole trajectories or not at all."""

import json
from dataclasses import replace

from leap_exp.core.types import Decision
from leap_exp.teachers.annotate import annotate
from leap_exp.teachers.asking import Unanswered
from tests.fault_server import answer
from tests.teaching_server import asked
from tests.unit.llm.clients import client_of
from tests.unit.records import trajectory


def reasoned(body):
    """A reason that tells the step it is for."""
    action = asked(body).rpartition("The action that it takes: ")[2]
    return answer(json.dumps({"reason": f"So I\n{action}."}))


def test_every_step_without_a_reason_gets_one_and_nothing_else_changes(server):
    server.follow(reasoned)
    walk = trajectory("look", "go to desk 1", score=1.0)
    (annotated,) = annotate(client_of(server), [walk], seed=0)
    assert [step.decision.reason for step in annotated.steps] == ["So I look.", "So I go to desk 1."]
    bare = tuple(replace(step, decision=replace(step.decision, reason="")) for step in annotated.steps)
    assert replace(annotated, steps=bare) == walk


def test_a_reason_that_is_there_stays_and_is_not_asked_for(server):
    server.follow(reasoned)
    walk = trajectory("look", "go to desk 1")
    first = replace(walk.steps[0], decision=Decision(reason="Mine.", action="look"))
    (annotated,) = annotate(client_of(server), [replace(walk, steps=(first, walk.steps[1]))], seed=0)
    assert [step.decision.reason for step in annotated.steps] == ["Mine.", "So I go to desk 1."]
    assert len(server.bodies) == 1


def test_no_prompt_holds_anything_of_a_later_step(server):
    server.follow(reasoned)
    annotate(client_of(server), [trajectory("act zero", "act one", "act two")], seed=0)
    for body in server.bodies:
        text = "".join(message["content"] for message in body["messages"])
        known = [f"place {place}," in text for place in range(3)]
        assert known == sorted(known, reverse=True)
        assert [f"act {word}" in text for word in ("zero", "one", "two")] == known
    assert len(server.bodies) == 3


def test_a_trajectory_with_a_step_that_gets_no_reason_is_left_out_and_the_others_are_not(server):
    server.follow(lambda body: answer("{}") if "takes: fly" in asked(body) else reasoned(body))
    good = trajectory("look", name="good")
    left_out, annotated = annotate(client_of(server), [trajectory("look", "fly"), good], seed=0)
    assert isinstance(left_out, Unanswered)
    assert left_out.error.startswith("step 2: None of 3 answers could be used")
    assert annotated.steps[0].decision.reason == "So I look."


def test_nothing_to_do_asks_nothing(server):
    assert annotate(client_of(server), [], seed=0) == []
    assert server.bodies == []
