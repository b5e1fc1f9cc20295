"""The student: batched decoding and likelihoods against the plain way of computing them."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, Observation, PrivilegedFacts, View, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.students.config import AdapterConfig, HfStudentConfig
from leap_exp.students.hf import HfStudent
from leap_exp.students.weights import load_model, load_tokenizer, resolve_weights
from leap_exp.tokens.briefed import BriefedCodec
from tests.support.records import ACTIONS, correction, task, trajectory
from tests.support.toy import ToyEnvironment


class Household(ToyEnvironment):
    name = "alfworld"
    prompts = PROMPTS


def student(*, max_repeats: int | None = None, **changes: object) -> HfStudent:
    """Return a tiny student with plain prompts, restricted to the admissible actions unless changed."""
    environment = Household()
    environment.max_repeats = max_repeats or 0
    settings = {
        "model": "tiny",
        "format": "plain",
        "decoding": "admissible",
        "avoid_repeats": max_repeats is not None,
        "reasons": False,
        "list_actions": False,
        "context_length": 2048,
        "max_new_tokens": 12,
        "dtype": "float32",
        "device": "cpu",
        "lora": AdapterConfig(r=4, alpha=8, dropout=0.0),
    }
    return HfStudent(HfStudentConfig(**{**settings, **changes}), environment)


def plain_logprob(agent: HfStudent, view: View, action: str) -> float:
    """Log-probability of an action, token by token, without packing, caches or batches."""
    model = load_model("tiny", dtype=torch.float32, device="cpu")
    prompt, response = agent.codec.prompt_ids(view), agent.codec.action_ids(action)
    others = [agent.codec.action_ids(other) for other in view.observation.admissible_actions]
    total = 0.0
    for index, token in enumerate(response):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *response[:index]]])).logits[0, -1]
        if agent.config.decoding == "admissible":
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


@pytest.mark.parametrize("max_repeats", [0, 1])
def test_without_loops_no_action_is_taken_oftener_than_allowed_before_the_others_are_used_up(max_repeats):
    agent = student(max_repeats=max_repeats)
    often = [*ACTIONS] * (max_repeats + 1)
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


@pytest.mark.parametrize("decoding", ["admissible", "free"])
def test_logprobs_of_all_actions_equal_those_of_each_action_on_its_own(decoding):
    agent = student(decoding=decoding)
    episodes = [views(trajectory(*["look"] * length, name=str(length))) for length in (1, 2)]
    for step, asked in ((0, ACTIONS), (1, ACTIONS[:2])):
        live = [episode[step] for episode in episodes if step < len(episode)]
        found = agent.action_logprobs(live, [asked] * len(live), reasons=[""] * len(live))
        for view, values in zip(live, found, strict=True):
            assert values == pytest.approx({action: plain_logprob(agent, view, action) for action in asked}, abs=1e-4)


def test_asking_for_logprobs_leaves_what_the_student_does_next_as_it_was():
    seen = views(trajectory("look", "go to shelf 1", "look"))
    agent = student()
    for view in seen:
        agent.action_logprobs([view], [ACTIONS], reasons=[""])
        assert agent.act([view], seed=0) == student().act([view], seed=0)


def test_actions_of_which_one_is_not_listed_are_weighed_among_all_texts():
    view = views(trajectory("look"))[0]
    free, restricted = student(decoding="free"), student()
    asked = ("look", "search everywhere")
    (found,) = restricted.action_logprobs([view], [asked], reasons=[""])
    assert found == pytest.approx({action: plain_logprob(free, view, action) for action in asked}, abs=1e-4)


def test_a_student_with_reasons_weighs_actions_after_the_reason():
    agent = student(reasons=True)
    view = views(trajectory("look"))[0]
    (decision,) = agent.act([view], seed=0)
    (own,) = agent.action_logprobs([view], [ACTIONS], reasons=[decision.reason])
    (other,) = agent.action_logprobs([view], [ACTIONS], reasons=["Mugs stand on desks."])
    assert sum(map(math.exp, own.values())) == pytest.approx(1.0, abs=1e-4)
    assert own != pytest.approx(other, abs=1e-3)


def test_logprobs_stay_those_of_the_shortened_prompts_when_turns_are_dropped():
    agent = student(context_length=420)
    corrected = correction(("look",) * 12, ("go to desk 1",) * 12)
    last = views(corrected.trajectory)[-1]
    assert agent.codec.first_kept(last) > 1
    assert len(agent.codec.prompt_ids(last)) <= 420
    expected = [plain_logprob(agent, view, "go to desk 1") for view in views(corrected.trajectory)]
    assert agent.logprobs([corrected]) == pytest.approx(expected, abs=1e-4)


def test_a_prompt_that_cannot_be_shortened_enough_is_refused():
    with pytest.raises(ConfigError, match=r"the 38 tokens that student\.context_length leaves"):
        student(context_length=50).act(views(trajectory("look")), seed=0)


def test_a_step_s_prompt_extends_the_last_step_s():
    agent = student(format="chat", reasons=True)
    prompts = [agent.codec.prompt_ids(view) for view in views(trajectory("look", "look", "look"))]
    for shorter, longer in pairwise(prompts):
        assert longer[: len(shorter)] == shorter


FACTS = Briefing(disclosure=Disclosure.P100, facts=PrivilegedFacts(task_id="alfworld/0", text="mug 1: on desk 1"))
NO_FACTS = Briefing(disclosure=Disclosure.NONE, facts=None)


@pytest.mark.parametrize("changes", [{}, {"decoding": "free"}, {"format": "chat", "reasons": True}, {"max_repeats": 0}])
def test_advice_without_facts_is_what_the_student_does(changes):
    agent = student(**changes)
    seen = views(trajectory("look", "go to shelf 1", "look"))
    assert agent.advise(seen, [NO_FACTS] * 3) == agent.act(seen, seed=0)


def test_advice_is_greedy_decoding_after_a_prompt_with_the_facts():
    agent = student()
    seen = views(trajectory("look", "go to shelf 1", "look"))
    told = [agent.advise([view], [FACTS])[0].action for view in seen]
    own_prompt = agent.codec.prompt_ids
    agent.codec.prompt_ids = lambda view: BriefedCodec(student().codec).prompt_ids(view, FACTS)
    assert told == [greedy_action(agent, view) for view in seen]
    agent.codec.prompt_ids = own_prompt
    assert told != [greedy_action(agent, view) for view in seen]


def test_as_its_own_teacher_a_student_weighs_actions_in_the_prompt_with_the_facts():
    agent = student()
    view = views(trajectory("look"))[0]

    def weighed(**how):
        (found,) = agent.action_logprobs([view], [ACTIONS], reasons=[""], **how)
        return found

    own = weighed()
    assert weighed(briefings=[NO_FACTS]) == pytest.approx(own, abs=1e-4)
    told = weighed(briefings=[FACTS])
    assert told != pytest.approx(own, abs=1e-3)
    agent.codec.prompt_ids = lambda view: BriefedCodec(student().codec).prompt_ids(view, FACTS)
    assert told == pytest.approx(weighed(), abs=1e-4)


def loaded(agent):
    """Return the weights that ``agent`` acts with."""
    agent._local.load_adapter(agent._adapters)
    return agent._local.model


def adapter(folder, *, seed):
    """Write a random adapter of the tiny model to ``folder``."""
    torch.manual_seed(seed)
    model = student().trainable_model()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    return folder


def test_an_averaged_student_has_the_mean_of_the_weights(tmp_path):
    base = student()
    first, second = (base.load(adapter(tmp_path / str(seed), seed=seed), policy_id=str(seed)) for seed in (1, 2))
    weights = [
        {name: tensor.clone() for name, tensor in loaded(each).state_dict().items()} for each in (base, first, second)
    ]
    mean = base.averaged([first, second], [0.25, 0.75], policy_id="mean")
    again = base.averaged([mean, base], [0.5, 0.5], policy_id="half of it")
    assert mean.id == "mean"
    for name, tensor in loaded(mean).state_dict().items():
        expected = 0.25 * weights[1][name] + 0.75 * weights[2][name]
        assert torch.allclose(tensor, expected, atol=1e-5)
    for name, tensor in loaded(again).state_dict().items():
        expected = 0.5 * weights[0][name] + 0.125 * weights[1][name] + 0.375 * weights[2][name]
        assert torch.allclose(tensor, expected, atol=1e-5)


def test_students_of_one_base_take_turns_in_memory_and_each_acts_as_itself(tmp_path):
    base = student()
    seen = views(trajectory("look", "go to shelf 1", "look"))
    trained = base.load(adapter(tmp_path / "adapter", seed=1), policy_id="trained")
    turns = [agent.act([view], seed=0)[0] for view in seen for agent in (base, trained)]
    alone = student().load(tmp_path / "adapter", policy_id="alone")
    assert turns[0::2] == [student().act([view], seed=0)[0] for view in seen]
    assert turns[1::2] == [alone.act([view], seed=0)[0] for view in seen]
    assert turns[0::2] != turns[1::2]
    assert base._local is trained._local


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ProviderError, match="nowhere does not exist"):
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
