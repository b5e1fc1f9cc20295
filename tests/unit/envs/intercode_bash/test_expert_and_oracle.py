"""The history-only expert and the oracle, on the built-in requests."""

import dataclasses
from functools import cache

import pytest

from leap_exp.analysis.leakage import leaks
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import SUCCESS_SCORE, views
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.expert import expert_action, is_sound
from leap_exp.rollout import rollout
from leap_exp.students.scripted import OraclePolicy
from tests.sandboxes import skip_without_sandboxes

EVERY = 12
"""One of this many training requests is played."""


@cache
def shell():
    return InterCodeBashEnvironment(sandbox="bubblewrap")


@cache
def played(disclosure):
    """Trajectories of the oracle acting under ``disclosure``."""
    return rollout(
        shell(),
        OraclePolicy(shell(), disclosure),
        shell().tasks("train")[::EVERY],
        seed=0,
        max_steps=10,
        batch=16,
        on_progress=lambda done, total: None,
    )


@pytest.fixture(autouse=True)
def sandboxes(data, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()


def said(disclosure):
    """The views and decisions of ``played``."""
    for trajectory in played(disclosure):
        yield from zip(views(trajectory), (step.decision for step in trajectory.steps), strict=True)


def test_the_expert_answers_at_least_85_of_100():
    succeeded = [trajectory.succeeded for trajectory in played(Disclosure.NONE)]
    assert sum(succeeded) / len(succeeded) >= 0.85


@pytest.mark.parametrize("disclosure", [Disclosure.P50, Disclosure.P100])
def test_privilege_answers_everything(disclosure):
    assert min(trajectory.score for trajectory in played(disclosure)) >= SUCCESS_SCORE


def test_at_p100_the_gold_command_comes_at_once_and_at_p50_what_leads_there_first():
    steps = {level: [len(each.steps) for each in played(level)] for level in (Disclosure.P50, Disclosure.P100)}
    assert set(steps[Disclosure.P100]) <= {2, 3}
    assert sum(steps[Disclosure.P50]) > sum(steps[Disclosure.P100])


def test_only_from_p75_on_reasons_give_the_gold_command_away():
    shares = {}
    for disclosure in Disclosure:
        verdicts = [
            bool(leaks(view, decision.reason, shell().privileged(view.task))) for view, decision in said(disclosure)
        ]
        shares[disclosure] = sum(verdicts) / len(verdicts)
    assert shares[Disclosure.NONE] == shares[Disclosure.P25] == shares[Disclosure.P50] == 0.0
    assert 0.0 < shares[Disclosure.P75] < shares[Disclosure.P100]


def test_the_expert_s_steps_are_sound_and_careless_ones_are_not():
    for view, decision in said(Disclosure.NONE):
        assert is_sound(view, decision.action)
        assert not is_sound(view, "rm -r /tmp/everything")
        assert not is_sound(view, "submit") or decision.action == "submit"


def test_the_oracle_leaves_what_is_as_good_and_changes_what_is_not():
    for view, decision in list(said(Disclosure.NONE))[:20]:
        oracle = shell().oracle(view.task)
        assert oracle.decide(view, Disclosure.P25, seed=0, taken=decision.action).action == decision.action
        assert oracle.decide(view, Disclosure.P25, seed=0, taken="true && false").action != "true && false"


def test_a_name_that_nothing_has_shown_is_searched_for_before_it_is_used():
    """At each step of an episode the paths in the expert's command were in the request or in an output."""
    for view, decision in said(Disclosure.NONE):
        if decision.action.startswith(("cat ", "wc ", "head ", "tail ")):
            shown = "\n".join([view.task.instruction, *(step.observation.text for step in (*view.history, view))])
            path = next(word for word in decision.action.split() if word.startswith("/"))
            assert path in shown


def test_reasons_are_whole_sentences_in_varied_words():
    reasons = [decision.reason for _, decision in said(Disclosure.NONE)]
    assert all(reason[0].isupper() and reason.endswith(".") for reason in reasons)
    assert all(6 <= len(reason.split()) <= 45 for reason in reasons)
    assert len(set(reasons)) > len(reasons) / 2


def test_a_request_in_free_words_gets_a_guess():
    task = shell().tasks("train")[0]
    view = next(iter(views(played(Disclosure.NONE)[0])))
    free = dataclasses.replace(task, instruction="Find all .txt files in /docs and count them")
    assert expert_action(dataclasses.replace(view, task=free)) == "find /docs -type f -name '*.txt' | wc -l"
