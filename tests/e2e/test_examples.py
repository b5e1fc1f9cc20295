"""The examples, installed as separate packages and run by the command line, without a change to leap_exp."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leap_exp.runs import read_document, read_metrics

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(tmp_path):
    """Installs an example and runs ``leap`` with it; returns the run folder."""

    def run(example: str, *arguments: str) -> Path:
        site = tmp_path / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run([*pip, "--target", str(site), str(EXAMPLES / example)], check=True)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-m", "leap_exp", *arguments, f"run_dir={tmp_path / 'here'}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return tmp_path / "here"

    return run


def test_own_environment(run):
    folder = run("own_environment", "experiment=key", "debug=default", "demonstrations.count=8", "evaluation.tasks=8")
    assert [entry["n"] for entry in read_document(folder / "summary.json")["rounds"]] == [8, 8]
    assert "search the " in (folder / "round_001" / "corrections.jsonl").read_text()


def test_own_environment_keeps_the_contract(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "own_environment")
    from leap_exp.envs.contract import contract_violations
    from leap_key import KeyConfig

    environment = KeyConfig().build()
    assert [contract_violations(environment, split) for split in ("train", "valid_unseen")] == [[], []]


def test_tabular_world(run):
    folder = run("tabular_world", "env=boxes", "debug=default", "demonstrations.count=6", "evaluation.tasks=4")
    assert [entry["n"] for entry in read_document(folder / "summary.json")["rounds"]] == [4, 4]
    assert "open the box" in (folder / "round_001" / "corrections.jsonl").read_text()


def test_own_teacher(run):
    folder = run("own_teacher", "teacher=one_step", "debug=default", "env.max_steps_eval=4")
    assert read_metrics(folder)[1]["correct/corrections_count"] == 2
    assert "I keep to my plan." in (folder / "round_001" / "corrections.jsonl").read_text()


def test_own_student(run):
    folder = run("own_student", "debug=default", "student=table", "trainer=table", "demonstrations.count=40")
    metrics = read_metrics(folder)
    assert all(metrics[index]["train/observations_count"] > 0 for index in (0, 1))
    assert (folder / "round_001" / "student" / "table.json").exists()


def test_own_trainer(run):
    folder = run("own_trainer", "trainer=lr_search", "debug=default", "env.max_steps_eval=4")
    assert {metrics["train/best_learning_rate"] for metrics in read_metrics(folder).values()} <= {3e-4, 1e-3}
    assert (folder / "round_001" / "student" / "adapter_config.json").exists()


def test_own_tracker(run):
    folder = run("own_tracker", "rounds=0", "student=random", "evaluation.tasks=2", "tracker=csv")
    first, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert first == "round,metric,value"
    assert len(rows) == len(read_metrics(folder)[0])


def test_an_environment_alone():
    command = [sys.executable, str(EXAMPLES / "play_an_environment.py")]
    played = subprocess.run(command, capture_output=True, text=True, check=True)
    assert played.stdout.splitlines()[-1].startswith("Score 1 after ")
