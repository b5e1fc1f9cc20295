"""Facts from a log: text for teachers, and the names in it that were hidden at first."""

import json

import pytest

from leap_exp.core.errors import DataError, StoreError
from leap_exp.core.types import PrivilegedFacts
from leap_exp.envs.informed import InformedEnvironment
from leap_exp.store import write_records
from leap_exp.teachers.asking import Unanswered
from leap_exp.teachers.extract import extract_facts
from tests.fault_server import answer
from tests.toy import ToyEnvironment
from tests.unit.llm.clients import client_of
from tests.unit.records import trajectory

WALK = trajectory("go to desk 1", "take mug 1 from desk 1", score=1.0)


def test_facts_are_text_and_names_that_showed_at_first_are_not_hidden(server):
    found = {"facts": ["Mug 2 is in cabinet 9. ", "", "Shelf 1 is closed."], "hidden_names": ["mug 2", "Shelf 1"]}
    server.follow([answer(f"Facts:\n```json\n{json.dumps(found)}\n```")])
    (facts,) = extract_facts(client_of(server), [WALK], seed=0)
    assert facts == PrivilegedFacts(
        task_id="alfworld/0",
        text="Mug 2 is in cabinet 9.\nShelf 1 is closed.",
        data={"hidden_names": ["mug 2"]},
    )


@pytest.mark.parametrize("bad", ['{"facts": []}', '{"facts": "a mug"}', '{"facts": [1]}', "none", '{"fact": ["a"]}'])
def test_what_holds_no_facts_is_asked_for_again_and_given_up(server, bad):
    server.follow([answer(bad)])
    (unanswered,) = extract_facts(client_of(server), [WALK], seed=0)
    assert isinstance(unanswered, Unanswered)
    assert len(server.bodies) == 3


def test_an_environment_can_be_told_the_facts_of_a_file(tmp_path):
    toy = ToyEnvironment()
    first, second = toy.tasks("train")[:2]
    facts = PrivilegedFacts(task_id=first.id, text="Try door 7.", data={"hidden_names": ["door 7"]})
    write_records(tmp_path / "facts.jsonl", [facts], {})
    informed = InformedEnvironment(toy, tmp_path / "facts.jsonl")
    assert informed.privileged(first) == facts
    with pytest.raises(DataError, match=f"no facts on {second.id}"):
        informed.privileged(second)
    assert informed.tasks("train") == toy.tasks("train")
    with informed.open(first, seed=0) as episode:
        assert episode.observation.admissible_actions
    with pytest.raises(StoreError):
        InformedEnvironment(toy, tmp_path / "none.jsonl")
