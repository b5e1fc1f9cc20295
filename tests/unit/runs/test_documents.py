"""Documents, configurations, and logs that a resumed run continues."""

import pytest

from leap_exp.core.errors import StoreError
from leap_exp.runs import LineLog, read_config, read_document, read_lines, read_metrics, write_document
from leap_exp.tracking.jsonl import JsonlTracker


def write(path, *numbers):
    log = LineLog(path)
    for number in numbers:
        log.replay({"n": number})


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    path, whole = tmp_path / "log", tmp_path / "whole"
    write(whole, 1, 2, 3, 4)
    write(path, 1, 2)
    write(path, 1)
    write(path, 1, 2, 3)
    write(path, 1, 2, 3, 4)
    assert path.read_bytes() == whole.read_bytes()


def test_a_log_cut_short_anywhere_is_completed(tmp_path):
    path, whole = tmp_path / "log", tmp_path / "whole"
    write(whole, 1, 2, 3)
    for length in range(len(whole.read_bytes()) + 1):
        path.write_bytes(whole.read_bytes()[:length])
        write(path, 1, 2, 3)
        assert path.read_bytes() == whole.read_bytes()


def test_a_log_is_rewritten_from_the_first_difference(tmp_path):
    path = tmp_path / "log"
    write(path, 1, 2, 3)
    write(path, 1, 5)
    assert [line["n"] for line in read_lines(path)] == [1, 5]


def test_append_removes_an_incomplete_line(tmp_path):
    path = tmp_path / "log"
    write(path, 1, 2)
    path.write_bytes(path.read_bytes()[:-5])
    log = LineLog(path)
    log.append({"n": 3})
    log.append({"n": 4})
    assert [line["n"] for line in read_lines(path)] == [1, 3, 4]


def test_a_broken_line_is_reported_by_number(tmp_path):
    path = tmp_path / "log"
    write(path, 1, 2)
    path.write_text(path.read_text().replace("2}", "2"))
    with pytest.raises(StoreError, match="log, line 2"):
        read_lines(path)


def test_metrics_are_read_by_round_and_keep_nan(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log({"train/loss": float("nan")}, round_index=0)
    tracker.log({"evaluate/score_mean": 0.5}, round_index=0)
    tracker.log({"evaluate/score_mean": 0.75}, round_index=1)
    metrics = read_metrics(tmp_path)
    assert metrics[1] == {"evaluate/score_mean": 0.75}
    assert metrics[0]["evaluate/score_mean"] == 0.5
    assert metrics[0]["train/loss"] != metrics[0]["train/loss"]


def test_documents_are_read_back_without_their_version(tmp_path):
    write_document(tmp_path / "d.json", {"a": [1, None, {"b": "c"}]})
    assert read_document(tmp_path / "d.json") == {"a": [1, None, {"b": "c"}]}


def test_settings_of_older_versions_are_read_under_their_present_names(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("trainer:\n  name: sft\n  mistakes: 3\nlearning_rate: 1.0e-05\npi_0: null\n")
    assert read_config(path) == {
        "trainer": {"name": "sft", "max_changed_steps": 3},
        "learning_rate": 1e-05,
        "pi_0": None,
    }


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", ""])
def test_a_file_without_a_configuration_is_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"config\.yaml"):
        read_config(path)
