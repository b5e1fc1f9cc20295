"""A teacher that costs money: the estimate is shown, the usage is logged, and equal runs have equal metrics."""

import logging
from dataclasses import replace

import pytest

from leap_exp.cli.console import usage_table
from leap_exp.cli.main import main
from leap_exp.runs import read_lines, read_metrics
from tests.e2e.test_command_line import TOY
from tests.support import toy
from tests.support.toy import ToyEnvironment, ToyTeacher, toy_leap


class MeteredToyTeacher(ToyTeacher):
    """Pays for some of its answers only, as a teacher with a cache does."""

    def __init__(self, *, cached: int) -> None:
        super().__init__(ToyEnvironment())
        self._cached = cached
        self._count = 0

    def correct(self, trajectories, briefings):
        self._count += len(trajectories)
        return super().correct(trajectories, briefings)

    def estimate(self, trajectories, briefings):
        return f"{len(trajectories)} requests"

    def usage(self):
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


def test_usage_is_among_the_metrics_of_its_stage_without_what_differs_between_equal_runs(run):
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


def test_the_estimate_is_logged_before_the_stage(run, caplog):
    caplog.set_level(logging.INFO, logger="leap_exp")
    run("here", cached=0)
    logged = [record.getMessage() for record in caplog.records]
    assert logged[0].startswith("Corrections: ")
    assert logged[0].endswith(" requests")


def test_the_final_table_has_a_row_for_each_round_and_none_without_a_server(run, tmp_path):
    folder = run("here", cached=1)
    table = usage_table(read_metrics(folder), read_lines(folder / "timings.jsonl"))
    assert [column.header for column in table.columns] == ["round", "1 correct", "2 correct"]
    shown = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    assert (shown["from the cache"], shown["median latency"], shown["tokens in"]) == ("1", "1.5 s", "-")
    toy_leap(tmp_path / "plain", rounds=1).run()
    assert usage_table(read_metrics(tmp_path / "plain"), read_lines(tmp_path / "plain/timings.jsonl")) is None


def test_the_command_line_shows_the_estimate_before_and_the_usage_at_the_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(toy.ToyTeacher, "estimate", lambda self, trajectories, briefings: "a fortune", raising=False)
    usage = {"replies_count": 1234, "cost_dollars": 0.5, "paid_dollars": 0.25}
    monkeypatch.setattr(toy.ToyTeacher, "usage", lambda self: usage, raising=False)
    with pytest.raises(SystemExit):
        main(["run", *TOY, f"run_dir={tmp_path / 'here'}"])
    out = capsys.readouterr().out
    assert out.index("Corrections: a fortune") < out.index("round 1/1  correct: done") < out.index("Language models")
    for shown in ("1 correct", "1,234", "$0.5000", "$0.2500"):
        assert shown in out
