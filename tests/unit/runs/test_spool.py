"""Records that are written as they finish and read as streams."""

import contextlib
import tracemalloc
from dataclasses import replace

import pytest

from leap_exp.analysis.leakage import leaking_share
from leap_exp.analysis.realizability import agreement
from leap_exp.core.errors import StoreError
from leap_exp.core.sequences import Selected
from leap_exp.core.types import Correction, Trajectory
from leap_exp.runs import RecordSpool, read_records, write_records
from leap_exp.stages.demonstrations import imitate
from leap_exp.stages.evaluate import assess
from leap_exp.stages.rollout import rollout
from tests.support.records import trajectory
from tests.support.toy import COLOURS, ToyEnvironment, ToyStudent, prize_door


def many(count):
    return [replace(trajectory("look"), seed=number) for number in range(count)]


def test_a_spool_gives_its_records_in_the_order_of_their_places_and_the_file_of_a_list(tmp_path):
    records = many(5)
    spool = RecordSpool(tmp_path)
    for place in (3, 0, 4, 1, 2):
        spool.put(place, records[place])
    assert spool == records
    assert spool[-1] == records[-1]
    assert spool[1:3] == records[1:3]
    write_records(tmp_path / "listed.jsonl", records, {"a/b": 1.0})
    write_records(tmp_path / "spooled.jsonl", spool, {"a/b": 1.0})
    assert (tmp_path / "listed.jsonl").read_bytes() == (tmp_path / "spooled.jsonl").read_bytes()


def test_stored_records_are_read_when_they_are_used(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, many(4), {})
    stored = read_records(path).of(Trajectory)
    assert [record.seed for record in stored] == [0, 1, 2, 3]
    assert not read_records(path).of(Correction)
    with pytest.raises(IndexError):
        _ = stored[4]
    path.unlink()
    with pytest.raises(StoreError, match="Cannot read"):
        _ = stored[0]


def test_selected_items_come_from_several_sequences_in_order():
    chosen = Selected([["a", "b"], ["c"]], [(1, 0), (0, 1)])
    assert chosen == ["c", "b"]
    assert list(reversed(chosen)) == ["b", "c"]
    assert chosen != ["c"]


class Wordy(ToyEnvironment):
    """Has many tasks with long observations."""

    def __init__(self, count):
        super().__init__()
        self._count = count

    def tasks(self, split):
        first = super().tasks(split)
        return [replace(first[index % 24], id=f"{index}") for index in range(self._count)]

    @contextlib.contextmanager
    def open(self, task, *, seed):
        with super().open(task, seed=seed) as episode:
            episode.observation = replace(episode.observation, text="x" * 10_000 + task.id)
            yield episode


@pytest.mark.parametrize("step", ["rollout", "assess, imitate and measure"])
def test_memory_grows_with_live_episodes_and_not_with_finished_ones(tmp_path, step):
    seer = ToyStudent({colour: prize_door(colour) for colour in COLOURS})

    def peak(count):
        environment, spool = Wordy(count), RecordSpool(tmp_path)
        tasks = environment.tasks("train")

        def act():
            return rollout(
                environment, seer, tasks, seed=0, max_steps=3, batch=8, on_progress=lambda *_: None, spool=spool
            )

        def use(trajectories):
            assert assess(trajectories).n == count
            corrections = imitate(trajectories, into=RecordSpool(tmp_path))
            assert len(corrections) == count
            assert agreement(corrections)["realizability/agreement_share"] == 1.0
            assert leaking_share(corrections) == 0.0

        trajectories = None if step == "rollout" else act()
        tracemalloc.start()
        act() if step == "rollout" else use(trajectories)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)  # fills what is cached once
    few, many_more = peak(100), peak(1_000)
    # A trajectory holds more than 10 kB; its place in the spool takes about 200 bytes.
    assert many_more - few < 900 * 1_000
