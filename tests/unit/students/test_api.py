"""The student behind a chat server: what it is shown, what becomes of its answers, what is counted."""

import dataclasses
from dataclasses import replace

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Decision, DecisionFailure, Observation, Step, StopReason, View, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.llm import Endpoint
from leap_exp.stages.rollout import rollout
from leap_exp.students.config import ApiStudentConfig
from tests.support.fault_server import REFUSED, TOO_LONG, answer, fault_server
from tests.support.records import task, trajectory
from tests.support.toy import DOORS, ToyEnvironment

REPLY = answer("REASON: Mugs are often on desks.\nACTION: go to desk 1")


class Household(ToyEnvironment):
    name = "alfworld"
    prompts = PROMPTS


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    with fault_server([REPLY]) as running:
        yield running


def student(server, *, context_length: int = 8192, max_tokens: int = 100, **settings: object):
    endpoint = Endpoint(base_url=server.url, model="m", tries=1, max_tokens=max_tokens, price_in=2.0, price_out=8.0)
    return ApiStudentConfig(endpoint=endpoint, context_length=context_length, **settings).build(Household())


def view_after(*decisions: Decision) -> View:
    steps = tuple(
        Step(
            observation=Observation(text=f"Place {index}.", admissible_actions=("look", "go to desk 1")),
            decision=decision,
            reward=0.0,
        )
        for index, decision in enumerate(decisions)
    )
    now = Observation(text=f"Place {len(steps)}.", admissible_actions=("look",))
    return View(task=task(), history=steps, observation=now)


def test_it_reads_instructions_observations_and_its_own_answers_as_a_conversation(server):
    view = view_after(Decision(reason="To see.", action="look"))
    assert student(server).act([view], seed=0) == [
        Decision(reason="Mugs are often on desks.", action="go to desk 1"),
    ]
    (body,) = server.bodies
    instructions, *turns = body["messages"]
    assert instructions["role"] == "system"
    assert "REASON:" in instructions["content"]
    assert turns == [
        {"role": "user", "content": "Place 0.\nAdmissible actions:\n- look\n- go to desk 1"},
        {"role": "assistant", "content": "REASON: To see.\nACTION: look"},
        {"role": "user", "content": "Place 1.\nAdmissible actions:\n- look"},
    ]
    assert (body["temperature"], body["max_tokens"]) == (0.0, 100)


def test_without_reasons_and_lists_it_is_shown_none(server):
    server.follow([answer("look")])
    view = view_after(Decision(reason="", action="look"))
    assert student(server, reasons=False, list_actions=False, remind=True).act([view], seed=0)[0].action == "look"
    assert [message["content"] for message in server.bodies[0]["messages"][1:]] == [
        "Place 0.\n[put a mug in shelf.]",
        "look",
        "Place 1.\n[put a mug in shelf.]",
    ]


def test_a_batch_is_asked_at_once_and_a_decision_does_not_depend_on_it(server, tmp_path, monkeypatch):
    batch = [views(trajectory("look", "look", name=str(index)))[index % 2] for index in range(6)]
    server.follow(lambda body: answer(f"ACTION: {body['seed']}", delay_seconds=0.2))
    together = student(server).act(batch, seed=5)
    assert server.most_at_once > 1
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "another"))
    assert [student(server).act([view], seed=5)[0] for view in batch] == together
    assert len({decision.action for decision in together}) == len(batch)
    assert student(server).act(batch[:1], seed=6) != together[:1]


@pytest.mark.parametrize(
    ("said", "action"),
    [
        (answer("I would rather not say."), "I would rather not say."),
        (answer(""), "(nothing)"),
        (REFUSED, "I cannot help with that."),
        (answer("REASON: because it", finish_reason="length"), "(cut off) 'REASON: because it'"),
        (answer("ACTION: go to", finish_reason="length"), "(cut off) 'go to'"),
        (answer(None, finish_reason="length"), "(cut off) ''"),
        (answer("I see.\nI would rather not say."), "(no action) 'I see.\\nI would rather not say.'"),
    ],
)
def test_an_answer_without_an_action_is_an_inadmissible_action(server, said, action):
    server.follow([said])
    view = view_after()
    assert student(server).act([view], seed=0) == [Decision(reason="", action=action)]
    assert not view.observation.admits(action)


def test_a_request_that_fails_costs_its_own_episode_only_and_is_no_score(server):
    environment = Household()
    tasks = environment.tasks("train")[:6]
    colours = [one.kind for one in tasks]

    def script(body):
        asked = body["messages"][-1]["content"]
        return TOO_LONG if colours[1] in body["messages"][1]["content"] else answer(f"ACTION: {DOORS['7' in asked]}")

    server.follow(script)
    trajectories = rollout(
        environment, student(server), tasks, seed=0, max_steps=2, batch=6, on_progress=lambda done, total: None
    )
    failed = [trajectory for trajectory in trajectories if trajectory.score is None]
    assert [trajectory.task.kind for trajectory in failed] == [colours[1]] * 2
    assert all(trajectory.stop is StopReason.INFRA_ERROR for trajectory in failed)
    assert "maximum context length" in failed[0].error
    assert {(trajectory.score, len(trajectory.steps)) for trajectory in trajectories if trajectory not in failed} == {
        (0.0, 2)
    }


def test_one_failure_stands_among_decisions(server):
    server.follow(lambda body: TOO_LONG if "0, 1" in str(body["messages"]) else REPLY)
    batch = [views(trajectory("look", name=str(index)))[0] for index in range(3)]
    kinds = [type(outcome) for outcome in student(server).act(batch, seed=0)]
    assert kinds == [Decision, DecisionFailure, Decision]


def test_an_observation_that_does_not_fit_loses_its_middle_and_that_is_counted(server):
    short = student(server, context_length=700)
    page = Observation(text="START " + "product " * 2000 + "END", admissible_actions=None)
    short.act([replace(view_after(), observation=page)], seed=0)
    shown = server.bodies[0]["messages"][-1]["content"]
    assert shown.startswith("START product")
    assert "characters left out]" in shown
    assert shown.endswith("product END")
    assert sum(len(message["content"]) for message in server.bodies[0]["messages"]) / 4 < 600
    assert short.usage()["shortened_observations_count"] == 1


def test_long_histories_lose_their_oldest_turns_and_that_is_counted(server):
    short = student(server, context_length=700)
    long = view_after(*[Decision(reason="So that the history grows and grows. " * 4, action="look")] * 12)
    short.act([view_after(), long], seed=0)
    (messages,) = (body["messages"] for body in server.bodies if len(body["messages"]) > 2)
    assert messages[1]["content"].startswith("Place 0.")
    assert len(messages) < 2 * len(long.history)
    assert messages[-1]["content"].startswith("Place 12.")
    assert sum(len(message["content"]) for message in messages) / 4 < 600
    used = short.usage()
    assert used["shortened_prompts_count"] == 1
    assert used["shortened_observations_count"] == 0
    assert used["replies_count"] == 2
    assert used["cost_dollars"] > 0
    assert short.usage() == {}


def test_the_cost_of_whole_episodes_is_foreseen(server):
    said = student(server).estimate(Household().tasks("train")[:10], max_steps=3)
    assert said.startswith("m at 127.0.0.1:")
    assert "30 requests, about " in said
    assert "at most 3,000 out, at most about $0.07" in said
    assert said.endswith("if all take 3 steps of 300 tokens and none is cached")


def test_a_length_that_leaves_nothing_to_read_is_refused(server):
    with pytest.raises(ConfigError, match=r"student\.context_length=150 is not valid: it must be at least 200"):
        student(server, context_length=150)
    with pytest.raises(ConfigError, match=r"student\.context_length leaves for prompts have no room .*; raise it"):
        student(server, context_length=200).act([dataclasses.replace(view_after())], seed=0)
