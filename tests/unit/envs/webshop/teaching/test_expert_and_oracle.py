"""The history-only expert and the oracle: they buy what is wanted, and reveal no more than they may."""

import re
from random import Random
from statistics import fmean

import pytest

from leap_exp.analysis.leakage import leaks
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import SUCCESS_SCORE, Decision
from leap_exp.envs.webshop.teaching.expert import expert_action, is_sound
from tests.unit.envs.webshop.playing import play, sample, shop


def careless(view):
    """Take the expert's action half the time, and a random one otherwise."""
    rng = Random(f"{view.task.id} {len(view.history)}")
    actions = view.observation.admissible_actions
    if rng.random() < 0.5 or view.observation.query_action:
        return expert_action(view)
    return rng.choice([action for action in actions if action != "click[buy now]"])


def test_the_expert_buys_in_time_and_mostly_what_is_wanted():
    scores = []
    for task in sample(shop(), 60):
        score, seen, decisions = play(shop(), task, expert_action)
        assert all(view.observation.admits(decision.action) for view, decision in zip(seen, decisions, strict=True))
        assert decisions[-1].action == "click[buy now]"
        scores.append(score)
    assert fmean(scores) > 0.9


def test_the_expert_completes_any_history():
    for task in sample(shop(), 20):
        _, _, taken = play(shop(), task, careless, limit=12)
        replayed = iter([decision.action for decision in taken])
        score, _, decisions = play(
            shop(), task, lambda view, r=replayed: next(r, None) or expert_action(view), limit=40
        )
        assert decisions[-1].action == "click[buy now]"
        assert score > 0


def test_the_expert_s_actions_and_equally_good_ones_are_sound():
    (task,) = sample(shop(), 1)
    _, seen, decisions = play(shop(), task, expert_action)
    for view, decision in zip(seen, decisions, strict=True):
        assert is_sound(view, decision.action)
    start = seen[0]
    words = decisions[0].action.removeprefix("search[").removesuffix("]").split()
    assert is_sound(start, f"search[{' '.join(reversed(words))}]")
    assert not is_sound(start, f"search[{words[0]}]")
    assert not is_sound(start, f"search[{' '.join(words)} with a cherry on top]")
    assert not is_sound(seen[1], "click[back to search]")


def test_privilege_leads_directly_to_a_purchase_with_reward_1():
    steps = {}
    for disclosure in (Disclosure.NONE, Disclosure.P50, Disclosure.P100):
        played = [
            play(shop(), task, lambda view, t=task, d=disclosure: shop().oracle(t).decide(view, d, seed=0))
            for task in sample(shop(), 40)
        ]
        steps[disclosure] = fmean(len(decisions) for _, _, decisions in played)
        if disclosure is not Disclosure.NONE:
            assert min(score for score, _, _ in played) >= SUCCESS_SCORE
    assert steps[Disclosure.P50] == steps[Disclosure.P100] < steps[Disclosure.NONE]


def test_privilege_succeeds_from_any_history():
    for task in sample(shop(), 20):
        _, _, taken = play(shop(), task, careless, limit=10)
        replayed = iter([decision.action for decision in taken if decision.action != "click[buy now]"])

        def decide(view, t=task, r=replayed):
            return next(r, None) or shop().oracle(t).decide(view, Disclosure.P50, seed=0)

        score, _, _ = play(shop(), task, decide, limit=40)
        assert score >= SUCCESS_SCORE


@pytest.mark.parametrize("disclosure", [Disclosure.NONE, Disclosure.P25, Disclosure.P50])
@pytest.mark.parametrize("rule", [expert_action, careless])
def test_no_reason_up_to_p50_names_a_product_that_was_not_seen(disclosure, rule):
    for task in sample(shop(), 25):
        facts = shop().privileged(task)
        _, seen, _ = play(shop(), task, rule)
        for view in seen:
            assert leaks(view, shop().oracle(task).decide(view, disclosure, seed=1).reason, facts) == ()


def test_p100_always_names_the_product_at_the_start_and_p75_sometimes():
    named = {Disclosure.P75: 0, Disclosure.P100: 0}
    tasks = sample(shop(), 60)
    for task in tasks:
        _, seen, _ = play(shop(), task, expert_action, limit=1)
        for disclosure in named:
            decision = shop().oracle(task).decide(seen[0], disclosure, seed=0)
            named[disclosure] += re.search(r"\b[0-9A-Z]{10}\b", decision.reason) is not None
    assert named[Disclosure.P100] == len(tasks)
    assert 5 <= named[Disclosure.P75] <= 30


def test_a_sound_action_is_kept_and_an_unsound_one_corrected():
    (task,) = sample(shop(), 1)
    oracle = shop().oracle(task)
    _, seen, decisions = play(shop(), task, expert_action)
    reordered = f"search[{' '.join(reversed(decisions[0].action.removeprefix('search[').removesuffix(']').split()))}]"
    assert oracle.decide(seen[0], Disclosure.P25, seed=0, taken=reordered).action == reordered
    assert oracle.decide(seen[1], Disclosure.NONE, seed=0, taken="click[next >]").action == decisions[1].action


def test_reasons_vary_and_stay_short():
    reasons = []
    for task in sample(shop(), 20):

        def decide(view, t=task) -> Decision:
            decision = shop().oracle(t).decide(view, Disclosure.NONE, seed=0)
            reasons.append(decision.reason)
            return decision

        play(shop(), task, decide)
    assert len(set(reasons)) > len(reasons) / 3
    assert all(4 <= len(reason.split()) <= 30 for reason in reasons)
