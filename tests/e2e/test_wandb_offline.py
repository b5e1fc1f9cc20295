"""An offline W&B run, read back from its file."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.runs import read_lines
from leap_exp.tracking.wandb import WandbTracker, wandb_mode
from tests.e2e.test_command_line import ROOT, TOY
from tests.support.toy import toy_leap
from tests.support.wandb_file import OfflineRun

CONFIG = {"rounds": 1, "env": {"name": "toy"}, "seed": 7}


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    # Without WANDB_SERVICE, a process started by a test starts its own W&B process.
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DATA_DIR", "WANDB_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def logged(run_dir):
    """Run the toy experiment with W&B files in ``run_dir``."""
    with WandbTracker.start(
        run_dir, mode="offline", project="toys", entity=None, group="shelf", config=CONFIG
    ) as tracker:
        toy_leap(run_dir, rounds=1, tracker=tracker).run()


def metrics_of(history):
    return [
        {key: value for key, value in row.items() if "/" in key} | {"round": row["round"]}
        for row in history
        if not any(key.endswith("/_type") or "artifact_path" in key for key in row)
    ]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("offline")
    logged(run_dir)
    return run_dir, OfflineRun(run_dir)


def test_the_run_has_its_config_group_and_job_type(offline):
    _, run = offline
    (info,) = run.runs
    config = {item.key: json.loads(item.value_json) for item in info.config.update}
    assert config | CONFIG == config
    assert (info.project, info.run_group, info.job_type) == ("toys", "shelf", "train")
    assert run.exit_codes == [0]


def test_every_metric_is_there_on_the_round_axis(offline, tmp_path):
    _, run = offline
    toy_leap(tmp_path, rounds=1).run()
    expected = [{**line["metrics"], "round": line["round"]} for line in read_lines(tmp_path / "metrics.jsonl")]
    assert metrics_of(run.history) == [pytest.approx(row) for row in expected]
    assert [(metric.name or metric.glob_name, metric.step_metric) for metric in run.metrics] == [
        ("round", ""),
        ("*", "round"),
    ]


def test_trajectories_and_corrections_are_tables(offline):
    run_dir, run = offline
    tables = [
        (row["round"], name.removesuffix("/path"), path)
        for row in run.history
        for name, path in row.items()
        if name.endswith("/path")
    ]
    assert [(index, name) for index, name, _ in tables] == [
        (0, "rollout/trajectories"),
        (0, "evaluate/trajectories"),
        (1, "rollout/trajectories"),
        (1, "correct/corrections"),
        (1, "evaluate/trajectories"),
    ]
    table = json.loads((run.files[0].parent / "files" / tables[3][2]).read_text())
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    assert row["observation"].endswith("mark is on the wall.")
    assert row["action"] != row["student action"]
    assert row["changed"] is True
    corrections = (run_dir / "round_001" / "corrections.jsonl").read_text().splitlines()[1:]
    assert len(table["data"]) == sum(len(json.loads(line)["decisions"]) for line in corrections)


def test_students_are_artifacts_with_their_parent(offline):
    run_dir, run = offline
    students = [artifact for artifact in run.artifacts if artifact.type == "student"]
    assert [sorted(student.aliases) for student in students] == [["latest", "round_0"], ["latest", "round_1"]]
    assert [json.loads(student.metadata)["parent"] for student in students] == [None, f"{students[0].name}:round_0"]
    assert [entry.path for entry in students[1].manifest.contents] == ["known.json", "metrics.json"]
    assert students[1].manifest.contents[0].local_path == str(run_dir / "round_001" / "student" / "known.json")


def test_a_resumed_run_keeps_its_id_and_has_one_complete_file(tmp_path):
    logged(tmp_path)
    first = OfflineRun(tmp_path)
    logged(tmp_path)
    second = OfflineRun(tmp_path)
    assert len(second.files) == 1
    assert second.files != first.files
    assert second.runs[0].run_id == first.runs[0].run_id
    assert metrics_of(second.history) == metrics_of(first.history)


def test_after_a_kill_a_resumed_run_completes_the_file(tmp_path):
    command = [sys.executable, "-m", "tests.support.toy_main", *TOY, "tracker=wandb", f"run_dir={tmp_path / 'run'}"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TOY_SECONDS": "0.1"}, stdout=subprocess.DEVNULL)
    while not (tmp_path / "run" / "round_001" / "trajectories.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    run = OfflineRun(tmp_path / "run")
    expected = [
        pytest.approx({**line["metrics"], "round": line["round"]})
        for line in read_lines(tmp_path / "run" / "metrics.jsonl")
    ]
    assert metrics_of(run.history) == expected
    assert run.exit_codes == [0]


def test_a_run_that_fails_is_marked_as_failed(tmp_path):
    with (
        pytest.raises(KeyError),
        WandbTracker.start(tmp_path, mode="offline", project="p", entity=None, group=None, config=CONFIG),
    ):
        raise KeyError
    assert OfflineRun(tmp_path).exit_codes == [1]


def test_an_error_in_w_and_b_is_a_warning_and_the_run_continues(tmp_path, caplog, monkeypatch):
    with WandbTracker.start(tmp_path, mode="offline", project="p", entity=None, group=None, config=CONFIG) as tracker:

        def broken(*arguments, **keywords):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(type(tracker._run), "log", broken)
            tracker.log({"a/b": 1.0}, round_index=0)
        tracker.log({"a/b": 2.0}, round_index=1)
    assert "No space left on device; the run goes on" in caplog.text
    assert [row["a/b"] for row in OfflineRun(tmp_path).history] == [2.0]


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "online"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
    ],
)
def test_the_mode_follows_the_environment_variables(monkeypatch, environment, mode):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wandb_mode() == mode


@pytest.mark.parametrize("mode", ["online", "sideways"])
def test_without_an_account_online_is_an_error(monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    with pytest.raises(ConfigError, match="WANDB_MODE"):
        wandb_mode()
