"""The trackers' settings and what they open."""

from leap_exp.runs import read_metrics
from leap_exp.tracking.config import JsonlConfig, WandbConfig


def test_the_metrics_file_is_written_with_and_without_w_and_b(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for kind in (JsonlConfig, WandbConfig):
        run_dir = tmp_path / kind.__name__
        run_dir.mkdir()
        with kind().open(run_dir, config={"rounds": 1}, sweep=None) as tracker:
            tracker.log({"a/b": 1.0}, round_index=0)
            tracker.log_student(run_dir, round_index=0)
        assert read_metrics(run_dir) == {0: {"a/b": 1.0}}
