"""Logs that are continued: nothing twice, nothing lost, cut lines mended."""

import pytest

from leap_exp.core.errors import StoreError
from leap_exp.store import LineLog, read_lines, read_metrics
from leap_exp.tracking.jsonl import JsonlTracker


def write(path, *numbers):
    log = LineLog(path)
    for number in numbers:
        log.replay({"n": number})


def test_a_replayed_log_equals_one_written_at_once(tmp_path):
    path, whole = tmp_path / "log", tmp_path / "whole"
    write(whole, 1, 2, 3, 4)
    write(path, 1, 2)
    write(path, 1)
    write(path, 1, 2, 3)
    write(path, 1, 2, 3, 4)
    assert path.read_bytes() == whole.read_bytes()


def test_every_cut_is_mended(tmp_path):
    path, whole = tmp_path / "log", tmp_path / "whole"
    write(whole, 1, 2, 3)
    for length in range(len(whole.read_bytes()) + 1):
        path.write_bytes(whole.read_bytes()[:length])
        write(path, 1, 2, 3)
        assert path.read_bytes() == whole.read_bytes()


def test_from_the_first_difference_on_the_log_is_written_anew(tmp_path):
    path = tmp_path / "log"
    write(path, 1, 2, 3)
    write(path, 1, 5)
    assert [line["n"] for line in read_lines(path)] == [1, 5]


def test_appending_drops_a_cut_line_and_keeps_the_rest(tmp_path):
    path = tmp_path / "log"
    write(path, 1, 2)
    path.write_bytes(path.read_bytes()[:-5])
    log = LineLog(path)
    log.append({"n": 3})
    log.append({"n": 4})
    assert [line["n"] for line in read_lines(path)] == [1, 3, 4]


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "log"
    write(path, 1, 2)
    path.write_text(path.read_text().replace("2}", "2"))
    with pytest.raises(StoreError, match="log, line 2"):
        read_lines(path)


def test_metrics_are_read_by_round_with_nan_kept(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log({"train/loss": float("nan")}, round_index=0)
    tracker.log({"evaluate/score_mean": 0.5}, round_index=0)
    tracker.log({"evaluate/score_mean": 0.75}, round_index=1)
    metrics = read_metrics(tmp_path)
    assert metrics[1] == {"evaluate/score_mean": 0.75}
    assert metrics[0]["evaluate/score_mean"] == 0.5
    assert metrics[0]["train/loss"] != metrics[0]["train/loss"]
