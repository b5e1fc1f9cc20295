"""A teacher that is metered: what it will cost is said, what it cost is logged, and equal runs have equal metrics."""

import logging
from dataclasses import replace

import pytest

from leap_exp.console import usage_table
from leap_exp.store import read_lines, read_metrics
from tests.toy import ToyEnvironment, ToyTeacher, toy_leap


class MeteredToyTeacher(ToyTeacher):
    """Pays for a share of its answers, as one with a cache does."""

    def __init__(self, *, cached: int) -> None:
        super().__init__(ToyEnvironment())
        self._cached = cached
        self._count = 0

    def correct(self, trajectories, briefings):
        self._count += len(trajectories)
        return super().correct(trajectories, briefings)

    def forecast(self, trajectories, briefings):
        return f"{len(trajectories)} requests"

    def account(self):
        count, self._count = self._count, 0
        return {
            "replies_count": count,
            "cost_dollars": 0.5 * count,
            "paid_dollars": 0.5 * (count - self._cached),
            "cache_hits_count": self._cached,
            "latency_p50_seconds": 1.5,
        }


@pytest.fixture
def run(tmp_path):
    def run(name, *, cached):
        replace(toy_leap(tmp_path / name, rounds=2), teacher=MeteredToyTeacher(cached=cached)).run()
        return tmp_path / name

    return run


def test_the_account_enters_the_metrics_of_its_stage_and_circumstances_do_not(run):
    paid, cached = run("paid", cached=0), run("cached", cached=2)
    metrics = read_metrics(paid)
    assert metrics[1]["llm/correct/cost_dollars"] == 0.5 * metrics[1]["llm/correct/replies_count"] > 0
    assert (paid / "metrics.jsonl").read_bytes() == (cached / "metrics.jsonl").read_bytes()
    assert (paid / "round_001/corrections.jsonl").read_bytes() == (cached / "round_001/corrections.jsonl").read_bytes()
    own = [
        line["metrics"]
        for line in read_lines(cached / "timings.jsonl")
        if "llm/correct/paid_dollars" in line.get("metrics", {})
    ]
    assert len(own) == 2
    assert own[0].keys() == {
        "llm/correct/paid_dollars",
        "llm/correct/cache_hits_count",
        "llm/correct/latency_p50_seconds",
    }


def test_the_cost_is_said_before_the_stage(run, caplog):
    caplog.set_level(logging.INFO, logger="leap_exp")
    run("here", cached=0)
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("Corrections: ")
    assert said[0].endswith(" requests")


def test_the_final_table_has_a_row_for_each_round_and_none_without_a_server(run, tmp_path):
    folder = run("here", cached=1)
    table = usage_table(read_metrics(folder), read_lines(folder / "timings.jsonl"))
    assert list(table.columns[0].cells) == ["1 correct", "2 correct"]
    assert list(table.columns[3].cells) == ["1", "1"]
    toy_leap(tmp_path / "plain", rounds=1).run()
    assert usage_table(read_metrics(tmp_path / "plain"), read_lines(tmp_path / "plain/timings.jsonl")) is None
