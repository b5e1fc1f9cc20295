"""The journal: stages run once, and round 0 may have a seed of its own."""

from contextlib import contextmanager

import pytest

from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Example
from leap_exp.runs import Journal, read_lines, read_metrics
from leap_exp.tracking.jsonl import JsonlTracker

EXAMPLE = Example(round_index=0, position=0, task_id="toy/1")


class Silent:
    @contextmanager
    def stage(self, name, *, round_index):
        yield lambda done, total: None


@pytest.fixture
def start(tmp_path):
    """Return a new journal of the same run folder, as a resumed run would."""
    return lambda: Journal(tmp_path, seed=7, round_0_seed=3, tracker=JsonlTracker(tmp_path), progress=Silent())


def test_a_stage_runs_once_and_logs_its_metrics_each_time(start, tmp_path):
    calls = []

    def produce(on_progress):
        calls.append(1)
        return [EXAMPLE], {"aggregate/n_count": 1.0, "train/duration_seconds": 2.5}

    for _ in range(2):
        with start().round(0) as journal:
            assert journal.records("examples", produce).of(Example) == [EXAMPLE]
            assert journal.document("logprobs", lambda _: calls.append(1) or {"a": [1.0]}) == {"a": [1.0]}
        assert read_metrics(tmp_path) == {0: {"aggregate/n_count": 1.0}}
    assert len(calls) == 2
    assert [line.get("metrics") for line in read_lines(tmp_path / "timings.jsonl")] == [
        None,
        {"train/duration_seconds": 2.5},
        None,
    ]


def test_a_folder_of_an_interrupted_stage_is_filled_again(start):
    def interrupted(out, on_progress):
        (out / "half").touch()
        raise KeyboardInterrupt

    def fit(out, on_progress):
        (out / "weights").touch()
        return {"train/loss_nats": 0.5}

    with pytest.raises(KeyboardInterrupt), start().round(1) as journal:
        journal.folder("student", interrupted)
    with start().round(1) as journal:
        folder = journal.folder("student", fit)
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "weights"]


def test_round_0_has_its_own_seed(start):
    with start().round(0) as first, start().round(2) as later:
        assert first.seed_for("rollout") == derive_seed(3, "round", 0, "rollout")
        assert later.seed_for("train") == derive_seed(7, "round", 2, "train")
