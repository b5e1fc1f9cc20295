"""Sweeps whose runs are processes of their own: joblib, and submitit's executor for one machine.

The same with a real Slurm is in test_slurm.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.runs import read_lines
from leap_exp.runs.jobs import JobState, read_jobs
from tests.e2e.test_command_line import ROOT, TOY
from tests.e2e.test_resume import contents

# Not as a module, so that other processes find the toy world's classes by their names.
PROGRAM = "import sys; from tests.support import toy_main; toy_main.main(sys.argv[1:])"
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
LOCAL = ("hydra/launcher=local",)

each_launcher = pytest.mark.parametrize(
    ("package", "launcher"),
    [("hydra_plugins.hydra_joblib_launcher", JOBLIB), ("submitit", LOCAL)],
    ids=["joblib", "submitit"],
)


def start(folder: Path, *arguments: str, seconds: str = "0") -> subprocess.Popen:
    """Start ``leap`` with the toy world in ``folder``; its student takes ``seconds`` for each action."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "TOY_SECONDS": seconds}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def leap(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def status(folder: Path) -> dict[str, JobState]:
    return {job.name: job.state for job in read_jobs(folder)}


def wait_for(is_true, process: subprocess.Popen) -> None:
    while not is_true():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@each_launcher
def test_runs_at_the_same_time_share_pi_0_and_a_failing_one_does_not_stop_the_others(package, launcher, tmp_path):
    pytest.importorskip(package)
    sweep = ("-m", *launcher, *TOY, "seed=0,1,2,3", "pi_0=sweep/pi_0", "run_dir=sweep")
    code, _, err = leap(tmp_path, "run", *sweep, "rollouts.tasks=12,1000")
    assert code == 1
    assert err.count("The run needs 1000 tasks, but the split has only 24") >= 4
    folder = tmp_path / "sweep"
    names = {tasks: [f"rollouts.tasks={tasks},seed={seed}" for seed in range(4)] for tasks in (12, 1000)}
    assert status(folder) == {
        **dict.fromkeys(names[12], JobState.DONE),
        **dict.fromkeys(names[1000], JobState.FAILED),
    }
    made = [
        line
        for name in names[12] + names[1000]
        for line in read_lines(folder / name / "timings.jsonl")
        if line.get("round") == 0 and line["stage"] == "student" and "seconds" in line
    ]
    assert len(made) == 1
    alone = leap(tmp_path, "run", *TOY, "seed=2", "pi_0=alone/pi_0", "run_dir=alone")
    assert alone[0] == 0
    assert (tmp_path / "alone/metrics.jsonl").read_bytes() == (folder / names[12][2] / "metrics.jsonl").read_bytes()
    code, out, _ = leap(tmp_path, "report", "sweep")
    assert (code, out) == (0, "sweep/report.html\n")
    assert "rollouts.tasks=1000,seed=0 (failed: The run needs 1000 tasks" in (folder / "report.html").read_text()


@each_launcher
def test_the_same_command_again_runs_only_what_is_missing(package, launcher, tmp_path):
    pytest.importorskip(package)
    sweep = ("run", "-m", *launcher, *TOY, "run_dir=sweep")
    assert leap(tmp_path, *sweep, "seed=0,1")[0] == 0
    before = {name: contents(tmp_path / "sweep" / name) for name in ("seed=0", "seed=1")}
    code, out, _ = leap(tmp_path, *sweep, "seed=0,1,2")
    assert code == 0
    assert "seed=0: done already\nseed=1: done already\n" in out
    assert {name: contents(tmp_path / "sweep" / name) for name in before} == before
    assert status(tmp_path / "sweep") == dict.fromkeys(("seed=0", "seed=1", "seed=2"), JobState.DONE)
    assert "Submitted" not in leap(tmp_path, *sweep, "seed=0,1,2")[1]


def test_a_job_that_is_put_back_goes_on_and_one_that_is_killed_does_not_stop_the_others(tmp_path):
    pytest.importorskip("submitit")
    folder = tmp_path / "sweep"
    sweep = ("run", "-m", *LOCAL, *TOY, "run_dir=sweep", "seed=0,1,2")
    process = start(tmp_path, *sweep, seconds="0.3")
    for seed, sent in ((0, signal.SIGUSR2), (1, signal.SIGKILL)):
        wait_for(lambda seed=seed: (folder / f"seed={seed}" / "round_000" / "student").exists(), process)
        os.kill(json.loads((folder / f"seed={seed}" / "job.json").read_text())["process"], sent)
    wait_for(lambda: status(folder)["seed=1"] is JobState.INTERRUPTED, process)
    assert "running" in leap(tmp_path, "sweep", "status", "sweep")[1]
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.search(r"seed=1: job \d+ was killed", err)
    expected = {"seed=0": JobState.DONE, "seed=1": JobState.INTERRUPTED, "seed=2": JobState.DONE}
    assert status(folder) == expected
    assert leap(tmp_path, *sweep)[0] == 0
    assert leap(tmp_path, "run", "-m", *TOY, "run_dir=whole", "seed=0,1,2")[0] == 0
    own = {"config.yaml", "provenance.json", "report.html", "job.json"}
    for name in expected:
        put_back, whole = (
            {file: data for file, data in contents(tmp_path / run / name).items() if file not in own}
            for run in ("sweep", "whole")
        )
        assert put_back == whole
    # It was resumed, by the launcher or by the second command.
    assert len(json.loads((folder / "seed=0" / "provenance.json").read_text())["resumed"]) == 1
