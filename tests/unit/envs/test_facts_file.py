"""An environment with privileged facts from a file."""

import pytest

from leap_exp.core.errors import DataError, StoreError
from leap_exp.core.types import PrivilegedFacts, View
from leap_exp.envs.facts_file import EnvironmentWithFacts
from leap_exp.envs.joint.config import JointConfig
from leap_exp.runs import write_records
from tests.support.toy import ToyEnvironment


def test_an_environment_takes_its_facts_from_a_file(tmp_path):
    toy = ToyEnvironment()
    first, second = toy.tasks("train")[:2]
    facts = PrivilegedFacts(task_id=first.id, text="Try door 7.", data={"hidden_names": ["door 7"]})
    write_records(tmp_path / "facts.jsonl", [facts], {})
    changed = EnvironmentWithFacts(toy, tmp_path / "facts.jsonl")
    assert changed.privileged(first) == facts
    with pytest.raises(DataError, match=f"no facts about {second.id}"):
        changed.privileged(second)
    assert changed.tasks("train") == toy.tasks("train")
    with changed.open(first, seed=0) as episode:
        assert episode.observation.admissible_actions
    with pytest.raises(StoreError):
        EnvironmentWithFacts(toy, tmp_path / "none.jsonl")


def test_everything_but_the_facts_is_the_environment_s_own(tmp_path):
    joint = JointConfig(members=["alfworld", "webshop"]).build()
    write_records(tmp_path / "facts.jsonl", [PrivilegedFacts(task_id="any", text="Nothing.")], {})
    changed = EnvironmentWithFacts(joint, tmp_path / "facts.jsonl")
    for task in joint.tasks("train")[:2]:
        assert changed.max_repeats_of(task) == joint.max_repeats_of(task)
        assert changed.contents(task) == joint.contents(task)
        with changed.open(task, seed=0) as episode:
            view = View(task=task, history=(), observation=episode.observation)
        worlds, own = (each.consistent_worlds(view, limit=4, seed=0) for each in (changed, joint))
        assert (worlds and worlds.probabilities) == (own and own.probabilities)
    assert changed.shares("train") == joint.shares("train")
    assert changed.splits() == joint.splits()
