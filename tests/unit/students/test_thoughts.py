"""Thinking before an answer: its own tokens, an end that is enforced, and nothing of it afterwards."""

import dataclasses

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import DecisionFailure, Observation, views
from tests.support.records import ACTIONS, correction, trajectory
from tests.unit.students.test_prompts import ALWAYS_THINKING, SWITCHED, VIEW, Writing, folder, shown, student

END = "</think>"


@pytest.fixture
def model(tmp_path):
    return folder(tmp_path, template=SWITCHED, added=["<think>", END])


def act(agent, *texts, view=VIEW, **how):
    engine = Writing(*texts, **how)
    return agent.acting_through(engine).act([view], seed=0)[0], engine


def read(agent, engine, index):
    return agent.tokenizer.decode(engine.prompts[index])


def test_thoughts_have_their_own_share_of_tokens_and_the_answer_follows_them(model):
    agent = student(model, thinking=True, max_thinking_tokens=50)
    reply, engine = act(agent, "<think>\nMugs? ACTION: go", "REASON: x\nACTION: look")
    assert (reply.reason, reply.action) == ("x", "look")
    assert engine.most == [50, 12]
    assert read(agent, engine, 1) == f"{shown(agent)}<think>\nMugs? ACTION: go\n{END}\n\n"


def test_thoughts_that_do_not_end_are_ended(model):
    agent = student(model, thinking=True, max_thinking_tokens=50)

    class CutThoughts(Writing):
        def generate(self, prompts, **how):
            written = super().generate(prompts, **how)
            return [dataclasses.replace(each, is_cut_off=how["max_new_tokens"] == 50) for each in written]

    engine = CutThoughts("<think>On and on", "ACTION: look")
    assert agent.acting_through(engine).act([VIEW], seed=0)[0].action == "look"
    assert read(agent, engine, 1).endswith(f"<think>On and on\n{END}\n\n")


def test_an_answer_without_thoughts_is_taken_as_it_is(model):
    reply, engine = act(student(model, thinking=True), "REASON: x\nACTION: look")
    assert reply.action == "look"
    assert len(engine.prompts) == 1


def test_thoughts_that_the_template_opens_are_ended_as_they_began(tmp_path):
    agent = student(folder(tmp_path, template=ALWAYS_THINKING, added=["<think>", END]), thinking=True)
    reply, engine = act(agent, "Mugs?", "ACTION: look")
    assert reply.action == "look"
    assert read(agent, engine, 1) == f"{shown(agent, thinking=True)}Mugs?\n{END}\n\n"


def test_an_action_is_chosen_after_the_thoughts(model):
    chosen = []

    class Choosing(Writing):
        def choose(self, prompts, trees, *, sampling):
            chosen.extend(prompts)
            return [agent.codec.action_ids("look") for _ in prompts]

    agent = student(model, thinking=True, decoding="admissible", reasons=False)
    engine = Choosing("<think>Mugs?")
    view = dataclasses.replace(VIEW, observation=Observation(text="A room.", admissible_actions=ACTIONS))
    assert agent.acting_through(engine).act([view], seed=0)[0].action == "look"
    assert agent.tokenizer.decode(chosen[0].ids).endswith(f"<think>Mugs?\n{END}\n\n")


def test_a_server_that_does_not_answer_costs_that_decision_only(model):
    class Failing(Writing):
        def generate(self, prompts, **how):
            written = super().generate(prompts, **how)
            return [DecisionFailure(error="gone") if each.text == "lost" else each for each in written]

    agent = student(model, thinking=True)
    other = dataclasses.replace(VIEW, task=dataclasses.replace(VIEW.task, id="other"))
    engine = Failing("lost", "<think>Mugs?", "ACTION: look")
    lost, made = agent.acting_through(engine).act([VIEW, other], seed=0)
    assert lost == DecisionFailure(error="gone")
    assert made.action == "look"


def test_thoughts_are_neither_in_the_history_nor_trained_on(model):
    agent, plain = student(model, thinking=True), student(model, thinking=False)
    later = views(trajectory("look", "look"))[1]
    assert "think>" not in shown(agent, later)
    assert agent.codec.response_ids(VIEW_DECISION) == plain.codec.response_ids(VIEW_DECISION)
    corrected = correction(("look",), ("go to desk 1",))
    assert len(agent.logprobs([corrected])) == 1


VIEW_DECISION = trajectory("look").steps[0].decision


def test_prompts_leave_room_for_the_thoughts(model):
    agent = student(model, thinking=True, max_thinking_tokens=300)
    assert agent.codec.context_length == student(model).codec.context_length - 300
    with pytest.raises(ConfigError, match=r"at least 2024, .*max_thinking_tokens=2000"):
        student(model, thinking=True, max_thinking_tokens=2000, context_length=2010)


def test_the_engine_writes_real_thoughts_with_an_end(model):
    agent = student(model, thinking=True, max_thinking_tokens=20, reasons=False)
    (reply,) = agent.act([VIEW], seed=0)
    assert reply.action
