"""Record files: records are read back unchanged, and broken files are refused with the line number."""

import dataclasses

import pytest

from leap_exp.core.errors import DataError, StoreError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    Example,
    Observation,
    PrivilegedFacts,
    Step,
    StopReason,
    Task,
    Trajectory,
)
from leap_exp.runs import read_records, write_records

TASK = Task(id="toy/1", split="train", instruction="Fetch the “mug”\u2028now.", kind="fetch")
STEP = Step(
    observation=Observation(text="A room.\nA mug.", admissible_actions=("take mug", "look")),
    decision=Decision(reason="", action="take mug"),
    reward=0.1 + 0.2,
)
WON = Trajectory(task=TASK, policy_id="p", seed=2**62 + 1, steps=(STEP,), stop=StopReason.DONE, score=1.0)
BROKEN = Trajectory(task=TASK, policy_id="p", seed=3, steps=(), stop=StopReason.INFRA_ERROR, score=None, error="gone")
UNLISTED = dataclasses.replace(
    WON, steps=(dataclasses.replace(STEP, observation=Observation(text="$", admissible_actions=None)),)
)
CORRECTION = Correction(
    trajectory=WON,
    decisions=(Decision(reason="It is near.", action="look"),),
    changed=(True,),
    teacher_id="t",
    briefing=Briefing(
        disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="toy/1", text="Here.", data={"hidden": ["mug 1"]})
    ),
)
RECORDS = [
    WON,
    BROKEN,
    UNLISTED,
    CORRECTION,
    CorrectionFailure(trajectory=WON, teacher_id="t", error="no answer"),
    Example(round_index=1, position=2, task_id="toy/1"),
    PrivilegedFacts(task_id="toy/1", text="Here.", data={"hidden_names": ["mug 1"]}),
]


def test_records_and_metrics_are_read_back_unchanged(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, RECORDS, {"a/b_share": 1 / 3, "a/c_loss": float("nan")})
    stored = read_records(path)
    assert list(stored.records) == RECORDS
    assert stored.metrics["a/b_share"] == 1 / 3
    assert stored.metrics["a/c_loss"] != stored.metrics["a/c_loss"]
    assert stored.of(Correction) == [CORRECTION]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seed"', '"sead"'),
        ('"score": 1.0', '"score": "1"'),
        ('"seed": 4611686018427387905', '"seed": true'),
        ('"done"', '"dozed"'),
        (', "error": ""', ""),
        ('"error": ""', '"error": "", "odd": 1'),
        ('"record": "trajectory"', '"record": "journey"'),
    ],
)
def test_wrong_types_and_missing_or_unknown_fields_are_refused(tmp_path, old, new):
    path = tmp_path / "records.jsonl"
    write_records(path, [WON], {})
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoreError, match=r"records\.jsonl, line 2"):
        read_records(path)


def test_file_format(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [Example(round_index=1, position=2, task_id="tö/1")], {"a/b": float("inf")})
    assert path.read_text(encoding="utf-8") == (
        '{"schema_version": 1, "count": 1, "metrics": {"a/b": null}}\n'
        '{"record": "example", "round_index": 1, "position": 2, "task_id": "tö/1"}\n'
    )


def test_sets_are_written_in_sorted_order(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [PrivilegedFacts(task_id="t", text="x", data={"hidden": {"c", "a", "b"}})], {})
    assert read_records(path).of(PrivilegedFacts)[0].data == {"hidden": ["a", "b", "c"]}


def test_incomplete_and_missing_files_and_other_versions_are_refused(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [WON, BROKEN], {})
    lines = path.read_text().split("\n")[:-1]
    path.write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(StoreError, match="should hold 2 records but holds 1"):
        read_records(path)
    path.write_text("\n".join([*lines[:2], lines[2][:40]]) + "\n")
    with pytest.raises(StoreError, match="line 3: not JSON"):
        read_records(path)
    path.write_text("\n".join([lines[0].replace('"schema_version": 1', '"schema_version": 9'), *lines[1:]]))
    with pytest.raises(StoreError, match="schema version 9"):
        read_records(path)
    with pytest.raises(StoreError, match=r"absent\.jsonl"):
        read_records(tmp_path / "absent.jsonl")


def test_a_value_that_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [WON], {})
    odd = dataclasses.replace(
        CORRECTION,
        briefing=Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="t", text="x", data={"f": open})),
    )
    with pytest.raises(DataError, match="Cannot store a value of type"):
        write_records(path, [odd], {})
    assert read_records(path).of(Trajectory) == [WON]
