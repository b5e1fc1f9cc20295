"""The expert without facts and the oracle, on the built-in queries."""

import dataclasses
from functools import cache

import pytest

from leap_exp.analysis.leakage import leaks
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import SUCCESS_SCORE, views
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.teaching.expert import expert_action, is_sound
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import OraclePolicy
from tests.support.sandboxes import skip_without_sandboxes

EVERY = 12
"""Every n-th training query is used."""


@cache
def environment():
    return InterCodeBashEnvironment(InterCodeBashConfig(sandbox="bubblewrap"))


@cache
def played(disclosure):
    """Return trajectories of the oracle, acting under ``disclosure``."""
    return rollout(
        environment(),
        OraclePolicy(environment(), disclosure),
        environment().tasks("train")[::EVERY],
        seed=0,
        max_steps=10,
        batch=16,
        on_progress=lambda done, total: None,
    )


@pytest.fixture(autouse=True)
def sandboxes(data, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()


def decisions(disclosure):
    """Yield the views and decisions of ``played``."""
    for trajectory in played(disclosure):
        yield from zip(views(trajectory), (step.decision for step in trajectory.steps), strict=True)


def test_the_expert_without_facts_solves_at_least_85_percent():
    succeeded = [trajectory.succeeded for trajectory in played(Disclosure.NONE)]
    assert sum(succeeded) / len(succeeded) >= 0.85


@pytest.mark.parametrize("disclosure", [Disclosure.P50, Disclosure.P100])
def test_with_facts_the_oracle_solves_everything(disclosure):
    assert min(trajectory.score for trajectory in played(disclosure)) >= SUCCESS_SCORE


def test_the_oracle_searches_first_at_p50_and_not_at_p100():
    steps = {level: [len(each.steps) for each in played(level)] for level in (Disclosure.P50, Disclosure.P100)}
    assert set(steps[Disclosure.P100]) <= {2, 3}
    assert sum(steps[Disclosure.P50]) > sum(steps[Disclosure.P100])


def test_reasons_reveal_the_gold_command_only_from_p75_on():
    shares = {}
    for disclosure in Disclosure:
        verdicts = [
            bool(leaks(view, decision.reason, environment().privileged(view.task)))
            for view, decision in decisions(disclosure)
        ]
        shares[disclosure] = sum(verdicts) / len(verdicts)
    assert shares[Disclosure.NONE] == shares[Disclosure.P25] == shares[Disclosure.P50] == 0.0
    assert 0.0 < shares[Disclosure.P75] < shares[Disclosure.P100]


def test_only_good_actions_are_sound():
    for view, decision in decisions(Disclosure.NONE):
        assert is_sound(view, decision.action)
        assert not is_sound(view, "rm -r /tmp/everything")
        assert not is_sound(view, "submit") or decision.action == "submit"


def test_the_oracle_keeps_sound_actions_and_replaces_others():
    for view, decision in list(decisions(Disclosure.NONE))[:20]:
        oracle = environment().oracle(view.task)
        assert oracle.decide(view, Disclosure.P25, seed=0, taken=decision.action).action == decision.action
        assert oracle.decide(view, Disclosure.P25, seed=0, taken="true && false").action != "true && false"


def test_the_expert_uses_only_paths_that_were_shown():
    """The paths in its commands were in the query or in an output before."""
    for view, decision in decisions(Disclosure.NONE):
        if decision.action.startswith(("cat ", "wc ", "head ", "tail ")):
            shown = "\n".join([view.task.instruction, *(step.observation.text for step in (*view.history, view))])
            path = next(word for word in decision.action.split() if word.startswith("/"))
            assert path in shown


def test_reasons_are_sentences_in_varied_words():
    reasons = [decision.reason for _, decision in decisions(Disclosure.NONE)]
    assert all(reason[0].isupper() and reason.endswith(".") for reason in reasons)
    assert all(6 <= len(reason.split()) <= 45 for reason in reasons)
    assert len(set(reasons)) > len(reasons) / 2


def test_the_expert_has_a_heuristic_for_other_queries():
    task = environment().tasks("train")[0]
    view = next(iter(views(played(Disclosure.NONE)[0])))
    free = dataclasses.replace(task, instruction="Find all .txt files in /docs and count them")
    assert expert_action(dataclasses.replace(view, task=free)) == "find /docs -type f -name '*.txt' | wc -l"
