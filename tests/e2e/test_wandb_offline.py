"""An offline W&B run, read back from its file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb

from leap_exp.core.errors import ConfigError
from leap_exp.runs import TRAIN_LOG, LineLog, read_lines
from leap_exp.tracking.config import WandbConfig
from leap_exp.tracking.wandb import WandbTracker, wandb_mode
from tests.e2e.test_command_line import ROOT, TOY
from tests.support.records import trajectory
from tests.support.toy import toy_leap
from tests.support.wandb_file import OfflineRun, read_wandb_records

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


def test_optimizer_steps_are_logged_round_after_round(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for index in range(2):
        (tmp_path / str(index)).mkdir()
        log = LineLog(tmp_path / str(index) / TRAIN_LOG)
        for step in (1, 2):
            log.append({"step": step, "loss": 2.0 - index, "learning_rate": None, "stage": "sft"})
    with WandbConfig().open(tmp_path, config={"rounds": 1}, sweep=None) as tracker:
        for index in range(2):
            tracker.log_student(tmp_path / str(index), round_index=index)
    rows = [row for row in OfflineRun(tmp_path).history if "train_step/step" in row]
    assert [(row["train_step/step"], row["train_step/loss"]) for row in rows] == [
        (1, 2.0),
        (2, 2.0),
        (3, 1.0),
        (4, 1.0),
    ]
    assert not any("train_step/learning_rate" in row or "train_step/stage" in row for row in rows)


def test_a_resumed_run_keeps_its_id_and_has_one_complete_file(tmp_path):
    logged(tmp_path)
    first = OfflineRun(tmp_path)
    inode = first.files[0].stat().st_ino
    logged(tmp_path)
    second = OfflineRun(tmp_path)
    assert len(second.files) == 1
    assert second.files[0].stat().st_ino != inode
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


def log_and(end, run_dir, count):
    """Log ``count`` metrics in a process of its own, which then ends in the way of the statement ``end``."""
    code = (
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from leap_exp.tracking import wandb as module\n"
        "module._WRITTEN_AFTER_SECONDS = 0.5\n"
        f"settings = dict(mode='offline', project='p', entity=None, group=None, config={CONFIG!r})\n"
        f"with module.WandbTracker.start(Path({str(run_dir)!r}), **settings) as tracker:\n"
        f"    for value in range({count}):\n"
        "        tracker.log({'a/b': float(value)}, round_index=0)\n"
        "        time.sleep(0.6)\n"
        f"    {end}\n"
    )
    environment = {**os.environ, "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.1"}
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment, check=False, stderr=subprocess.DEVNULL)


KILLED, FAILED, ENDED = "os.kill(os.getpid(), signal.SIGKILL)", "raise KeyError", "pass"


def values(run_dir):
    """The logged values in each folder that would be synced."""
    found = []
    for file in sorted((run_dir / "wandb").glob("offline-run-*/run-*.wandb")):
        rows = [record.history.item for record in read_wandb_records(file) if record.HasField("history")]
        found.append([float(item.value_json) for row in rows for item in row if "a/b" in (item.key, *item.nested_key)])
    return found


def test_killed_or_failed_during_the_replay_the_longer_folder_is_the_one_to_sync(tmp_path):
    log_and(KILLED, tmp_path, 3)
    # The last row stays in W&B's memory until the next one.
    assert values(tmp_path) == [[0.0, 1.0]]
    for end, count in ((KILLED, 2), (FAILED, 1), (KILLED, 4)):
        log_and(end, tmp_path, count)
        assert values(tmp_path) == [[0.0, 1.0]]
    log_and(FAILED, tmp_path, 5)
    assert values(tmp_path) == [[0.0, 1.0, 2.0, 3.0, 4.0]]
    log_and(KILLED, tmp_path, 7)
    assert values(tmp_path) == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    log_and(KILLED, tmp_path, 2)
    assert values(tmp_path) == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    log_and(ENDED, tmp_path, 7)
    assert values(tmp_path) == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]
    assert OfflineRun(tmp_path).exit_codes == [0]
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert not folder.is_symlink()
    assert not (tmp_path / "wandb" / "repeating").exists()


def test_a_sweep_is_a_group(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    groups = []
    for config in (WandbConfig(), WandbConfig(group="mine")):
        run_dir = tmp_path / str(config.group)
        run_dir.mkdir()
        with config.open(run_dir, config=CONFIG, sweep="ladder"):
            pass
        groups += [info.run_group for info in OfflineRun(run_dir).runs[:1]]
    assert groups == ["ladder", "mine"]


def test_names_of_w_and_b_are_short_and_differ(tmp_path):
    long = [tmp_path / f"{'x' * 200}{number}" for number in (1, 2)]
    infos = []
    for run_dir in long:
        run_dir.mkdir()
        with WandbTracker.start(run_dir, mode="offline", project="p", entity=None, group="g" * 200, config=CONFIG):
            pass
        infos += OfflineRun(run_dir).runs[:1]
    assert [len(info.display_name) for info in infos] == [128, 128]
    assert infos[0].display_name != infos[1].display_name
    assert len(infos[0].run_group) == 128


def test_a_table_that_w_and_b_would_cut_is_a_sample_and_a_file_in_an_artifact(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(wandb.Table, "MAX_ROWS", 10)
    trajectories = [trajectory("look", "look", "look", name=str(number)) for number in range(5)]
    samples = []
    for run_dir in (tmp_path / "one", tmp_path / "two"):
        run_dir.mkdir()
        settings = {"mode": "offline", "project": "p", "entity": None, "group": None, "config": CONFIG}
        with caplog.at_level("INFO"), WandbTracker.start(run_dir, **settings) as tracker:
            tracker.log_trajectories("rollout", trajectories, round_index=2)
        run = OfflineRun(run_dir)
        (path,) = (value for row in run.history for key, value in row.items() if key.endswith("trajectories/path"))
        samples.append(json.loads((run.files[0].parent / "files" / path).read_text())["data"])
        (artifact,) = (artifact for artifact in run.artifacts if artifact.type == "table")
        assert "round_2" in artifact.aliases
        (entry,) = artifact.manifest.contents
        rows = [json.loads(line) for line in Path(entry.local_path).read_text().splitlines()]
        assert [row["task"] for row in rows] == [f"alfworld/{number}" for number in range(5) for _ in range(3)]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 9
    assert [row[3] for row in samples[0]] == [0, 1, 2] * 3
    lines = [record.message for record in caplog.records if "W&B shows" in record.message]
    assert lines[0].startswith("W&B shows 9 of the 15 rows of rollout/trajectories (round 2): a sample. All are in the")


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
