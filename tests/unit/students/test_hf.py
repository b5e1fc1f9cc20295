"""The student: batched decoding and likelihoods against the plain way of computing them."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.types import Observation, View, views
from leap_exp.students.hf import HfSettings, HfStudent, LoraSettings
from leap_exp.students.weights import load_model, load_tokenizer, resolve_weights
from tests.unit.records import ACTIONS, correction, task, trajectory

SETTINGS = HfSettings(
    model="tiny",
    environment="alfworld",
    format="plain",
    decoding="admissible",
    revisits=None,
    reasons=False,
    list_actions=False,
    condense=False,
    remind=False,
    context_length=2048,
    max_new_tokens=12,
    dtype=torch.float32,
    device="cpu",
    lora=LoraSettings(r=4, alpha=8, dropout=0.0, top_layers=None),
)


def student(**changes: object) -> HfStudent:
    return HfStudent(dataclasses.replace(SETTINGS, **changes), policy_id="tiny/0")


def plain_logprob(agent: HfStudent, view: View, action: str) -> float:
    """Log-probability of an action, token by token, without packing, caches or batches."""
    model = load_model("tiny", dtype=torch.float32, device="cpu")
    prompt, response = agent.codec.prompt_ids(view), agent.codec.action_ids(action)
    others = [agent.codec.action_ids(other) for other in view.observation.admissible_actions]
    total = 0.0
    for index, token in enumerate(response):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *response[:index]]])).logits[0, -1]
        if agent.settings.decoding == "admissible":
            allowed = {other[index] for other in others if other[:index] == response[:index]}
            forbidden = [token for token in range(len(logits)) if token not in allowed]
            logits[forbidden] = -torch.inf
        total += float(logits.log_softmax(-1)[token])
    return total


def greedy_action(agent: HfStudent, view: View) -> str:
    """The admissible action that token-by-token greedy decoding ends at."""
    model = load_model("tiny", dtype=torch.float32, device="cpu")
    options = {agent.codec.action_ids(action): action for action in ACTIONS}
    written: tuple[int, ...] = ()
    while written not in options:
        with torch.no_grad():
            logits = model(torch.tensor([[*agent.codec.prompt_ids(view), *written]])).logits[0, -1]
        allowed = sorted({ids[len(written)] for ids in options if ids[: len(written)] == written})
        written = (*written, max(allowed, key=lambda token: float(logits[token])))
    return options[written]


def test_batched_choice_equals_one_by_one_greedy_decoding_along_whole_episodes():
    agent = student()
    episodes = [views(trajectory(*["look"] * length, name=str(length))) for length in (2, 5, 7)]
    for step in range(7):
        live = [episode[step] for episode in episodes if step < len(episode)]
        decided = agent.act(live, seed=0)
        assert [decision.action for decision in decided] == [greedy_action(agent, view) for view in live]


@pytest.mark.parametrize("revisits", [0, 1])
def test_without_loops_no_action_is_taken_oftener_than_allowed_before_the_others_are_used_up(revisits):
    agent = student(revisits=revisits)
    often = [*ACTIONS] * (revisits + 1)
    taken: list[str] = []
    for _ in range(len(often) + 1):
        steps = tuple(
            dataclasses.replace(step, observation=trajectory("look").steps[0].observation)
            for step in trajectory(*taken).steps
        )
        view = View(task=task(), history=steps, observation=trajectory("look").steps[0].observation)
        taken.append(agent.act([view], seed=0)[0].action)
    assert sorted(taken[:-1]) == sorted(often)
    assert taken[-1] in ACTIONS


@pytest.mark.parametrize("format_", ["plain", "chat"])
@pytest.mark.parametrize("reasons", [False, True])
def test_every_choice_among_admissible_actions_is_admissible(format_, reasons):
    agent = student(format=format_, reasons=reasons, list_actions=True, remind=True)
    for decision in agent.act([episode[-1] for episode in (views(trajectory("look", "look")),)], seed=0):
        assert decision.action in ACTIONS


def test_free_decoding_records_what_cannot_be_parsed_as_an_inadmissible_action():
    view = views(trajectory("look"))[0]
    (decision,) = student(decoding="free", reasons=True).act([view], seed=0)
    assert decision.action
    assert not view.observation.admits(decision.action)


@pytest.mark.parametrize("decoding", ["admissible", "free"])
def test_logprobs_equal_those_of_each_step_on_its_own(decoding):
    agent = student(decoding=decoding)
    corrected = correction(
        ("look", "go to shelf 1", "look", "look"), ("go to desk 1", "go to shelf 1", "look", "go to shelf 2")
    )
    expected = [
        plain_logprob(agent, view, decision.action)
        for view, decision in zip(views(corrected.trajectory), corrected.decisions, strict=True)
    ]
    assert agent.logprobs([corrected]) == pytest.approx(expected, abs=1e-4)


def test_a_student_restricted_to_the_admissible_actions_finds_one_of_them_certain():
    agent = student()
    each = [correction(("look", "look"), ("look", action)) for action in ACTIONS]
    last_step = agent.logprobs(each)[1::2]
    assert sum(map(math.exp, last_step)) == pytest.approx(1.0, abs=1e-4)


def test_logprobs_stay_those_of_the_shortened_prompts_when_turns_are_dropped():
    agent = student(context_length=420)
    corrected = correction(("look",) * 12, ("go to desk 1",) * 12)
    last = views(corrected.trajectory)[-1]
    assert agent.codec.first_kept(last) > 1
    assert len(agent.codec.prompt_ids(last)) <= 420
    expected = [plain_logprob(agent, view, "go to desk 1") for view in views(corrected.trajectory)]
    assert agent.logprobs([corrected]) == pytest.approx(expected, abs=1e-4)


def test_a_prompt_that_cannot_be_shortened_enough_is_refused():
    with pytest.raises(ConfigError, match=r"the 38 that student\.context_length leaves"):
        student(context_length=50).act(views(trajectory("look")), seed=0)


def test_a_step_s_prompt_extends_the_last_step_s():
    agent = student(format="chat", reasons=True)
    prompts = [agent.codec.prompt_ids(view) for view in views(trajectory("look", "look", "look"))]
    for shorter, longer in pairwise(prompts):
        assert longer[: len(shorter)] == shorter


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ProviderError, match="nowhere: there is no such folder"):
        resolve_weights(str(tmp_path / "nowhere"))


def test_a_model_that_cannot_be_had_says_how_to_point_at_local_weights(tmp_path):
    with pytest.raises(ProviderError, match=r"student\.model="):
        load_tokenizer(str(tmp_path))


def test_where_a_query_is_asked_for_the_student_writes_and_elsewhere_it_chooses():
    agent = student()
    choosing = views(trajectory("look"))[0]
    asking = dataclasses.replace(
        choosing,
        task=dataclasses.replace(choosing.task, id="asking"),
        observation=Observation(text="A shop.", admissible_actions=("search[<query>]",)),
    )
    chosen, written = agent.act([choosing, asking], seed=0)
    assert chosen == agent.act([choosing], seed=0)[0]
    assert written.action.startswith("search[")
    assert asking.observation.admits(written.action)


def test_where_no_action_is_listed_the_student_writes_what_free_decoding_writes():
    seen = dataclasses.replace(
        views(trajectory("look"))[0], observation=Observation(text="A prompt.", admissible_actions=None)
    )
    written = [student(decoding=decoding).act([seen], seed=0)[0].action for decoding in ("admissible", "free")]
    assert written[0] == written[1].partition("\n")[0].strip()
