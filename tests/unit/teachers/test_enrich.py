"""Reasons for demonstrations, and facts from logs."""

import json
from dataclasses import replace

import pytest

from leap_exp.core.types import Decision, PrivilegedFacts
from leap_exp.teachers.answers import Unanswered
from leap_exp.teachers.enrich import annotate, extract_facts
from tests.support.clients import client_of
from tests.support.fault_server import answer
from tests.support.records import trajectory
from tests.support.teaching_server import asked


def reasoned(body):
    """Answer with a reason that names the action it is for."""
    action = asked(body).rpartition("The action that it takes: ")[2]
    return answer(json.dumps({"reason": f"So I\n{action}."}))


def test_annotate_adds_a_reason_to_every_step_and_changes_nothing_else(server):
    server.follow(reasoned)
    walk = trajectory("look", "go to desk 1", score=1.0)
    (annotated,) = annotate(client_of(server), [walk], seed=0)
    assert [step.decision.reason for step in annotated.steps] == ["So I look.", "So I go to desk 1."]
    bare = tuple(replace(step, decision=replace(step.decision, reason="")) for step in annotated.steps)
    assert replace(annotated, steps=bare) == walk


def test_annotate_keeps_existing_reasons_and_sends_no_request_for_them(server):
    server.follow(reasoned)
    walk = trajectory("look", "go to desk 1")
    first = replace(walk.steps[0], decision=Decision(reason="Mine.", action="look"))
    (annotated,) = annotate(client_of(server), [replace(walk, steps=(first, walk.steps[1]))], seed=0)
    assert [step.decision.reason for step in annotated.steps] == ["Mine.", "So I go to desk 1."]
    assert len(server.bodies) == 1


def test_prompts_for_reasons_contain_nothing_of_later_steps(server):
    server.follow(reasoned)
    annotate(client_of(server), [trajectory("act zero", "act one", "act two")], seed=0)
    for body in server.bodies:
        text = "".join(message["content"] for message in body["messages"])
        known = [f"place {place}," in text for place in range(3)]
        assert known == sorted(known, reverse=True)
        assert [f"act {word}" in text for word in ("zero", "one", "two")] == known
    assert len(server.bodies) == 3


def test_a_step_without_a_usable_reason_fails_only_its_own_trajectory(server):
    server.follow(lambda body: answer("{}") if "takes: fly" in asked(body) else reasoned(body))
    good = trajectory("look", name="good")
    failed, annotated = annotate(client_of(server), [trajectory("look", "fly"), good], seed=0)
    assert isinstance(failed, Unanswered)
    assert failed.error.startswith("step 2: None of 3 answers could be used")
    assert annotated.steps[0].decision.reason == "So I look."


def test_without_trajectories_nothing_is_requested(server):
    assert annotate(client_of(server), [], seed=0) == []
    assert server.bodies == []


WALK = trajectory("go to desk 1", "take mug 1 from desk 1", score=1.0)


def test_facts_are_text_and_names_shown_at_the_start_are_not_hidden(server):
    found = {"facts": ["Mug 2 is in cabinet 9. ", "", "Shelf 1 is closed."], "hidden_names": ["mug 2", "Shelf 1"]}
    server.follow([answer(f"Facts:\n```json\n{json.dumps(found)}\n```")])
    (facts,) = extract_facts(client_of(server), [WALK], seed=0)
    assert facts == PrivilegedFacts(
        task_id="alfworld/0",
        text="Mug 2 is in cabinet 9.\nShelf 1 is closed.",
        data={"hidden_names": ["mug 2"]},
    )


@pytest.mark.parametrize("bad", ['{"facts": []}', '{"facts": "a mug"}', '{"facts": [1]}', "none", '{"fact": ["a"]}'])
def test_an_answer_without_facts_is_asked_for_again_and_then_fails(server, bad):
    server.follow([answer(bad)])
    (unanswered,) = extract_facts(client_of(server), [WALK], seed=0)
    assert isinstance(unanswered, Unanswered)
    assert len(server.bodies) == 3
