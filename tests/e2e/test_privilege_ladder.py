"""The sweep over privilege levels and controls: what its runs differ in, and that it goes on after being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.core.types import Correction
from leap_exp.runs import read_config, read_records
from tests.e2e.test_command_line import TOY, leap  # noqa: F401 - leap is a fixture
from tests.support.toy import ToyEnvironment

ROOT = Path(__file__).parents[2]
REPORT = ("results.json", "summary.csv", "arms.md", "report.html", "success.svg", "success_by_group.svg")
ARMS = "none,p25,no_correction,shuffled,wrong,placebo"
SWEEP = ("-m", *TOY, f"privilege={ARMS}", "seed=0", "pi_0=sweep/pi_0", "run_dir=sweep", "correct.max_score=1")
LADDER = (
    *("-m", "experiment=privilege_ladder", "student=tiny", "tracker=jsonl", "run_dir=sweep"),
    *("privilege=p25,no_correction,wrong,constrained_0_3", "seed=0"),
    *("demonstrations.count=6", "rollouts.tasks=4", "evaluation.tasks=4", "probes=1", "trainer.max_tokens=1500"),
)


def kill_half_way(arguments, folder, *, runs, **environment):
    """Start a sweep in ``folder`` and kill it as soon as so many of its runs are finished."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.toy_main", *arguments]
    variables = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    sweep = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL)
    finished = 0
    while sweep.poll() is None and finished < runs:
        finished = len(list((folder / "sweep").glob("privilege=*/summary.json")))
        time.sleep(0.02)
    sweep.send_signal(signal.SIGKILL)
    assert sweep.wait() == -signal.SIGKILL


def report(leap, folder):  # noqa: F811 - a fixture
    """The files of a sweep's report, of which the page is made again without the seconds that its runs took."""
    files = {name: (folder / name).read_text() for name in REPORT if (folder / name).exists()}
    for timings in folder.glob("privilege=*/timings.jsonl"):
        timings.unlink()
    assert leap(str(folder), command="report")[0] == 0
    return {**files, "report.html": (folder / "report.html").read_text()}


def test_a_ladder_killed_half_way_and_continued_gives_the_same_report(leap, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    assert leap(*SWEEP)[0] == 0
    check_arms(tmp_path / "whole" / "sweep")
    kill_half_way(SWEEP, tmp_path / "killed", runs=2, TOY_SECONDS="0.02")
    assert len(list((tmp_path / "killed" / "sweep").glob("privilege=*/summary.json"))) < 6
    monkeypatch.chdir(tmp_path / "killed")
    assert leap(*SWEEP)[0] == 0
    assert report(leap, tmp_path / "killed" / "sweep") == report(leap, tmp_path / "whole" / "sweep")


def check_arms(folder):
    """Check that runs differ by their privilege alone, and that records say what the teacher was told."""
    results, arms = json.loads((folder / "results.json").read_text()), ARMS.split(",")
    assert (results["keys"], {group["label"] for group in results["groups"]}) == (["privilege.name"], set(arms))
    assert {each["label"]: each["labels"] > 0 for each in results["arms"]} == {
        arm: arm != "no_correction" for arm in arms
    }
    for arm in ("p25", "shuffled", "wrong", "placebo"):
        (run,) = folder.glob(f"privilege={arm}*")
        control = read_config(run / "config.yaml")["privilege"]["control"]
        corrections = read_records(run / "round_001" / "corrections.jsonl").of(Correction)
        assert {each.briefing.facts.data.get("control") for each in corrections} == {control}
        assert control == (None if arm == "p25" else arm)


@pytest.mark.slow
def test_the_experiment_killed_half_way_and_continued_gives_the_same_report(leap, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    assert leap(*LADDER)[0] == 0
    kill_half_way(LADDER, tmp_path / "killed", runs=2)
    monkeypatch.chdir(tmp_path / "killed")
    assert leap(*LADDER)[0] == 0
    assert report(leap, tmp_path / "killed" / "sweep") == report(leap, tmp_path / "whole" / "sweep")


def test_an_oracle_that_cannot_believe_otherwise_ends_the_run_at_once(leap, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(ToyEnvironment, "oracle_with_facts_of", lambda self, task, other: None)
    code, _, err = leap(*TOY, "teacher=oracle", "privilege=wrong", "run_dir=here")
    assert code == 2
    assert err.startswith("error: privilege.control=wrong: the scripted expert of toy cannot believe other facts about")
    assert not (tmp_path / "here" / "round_000").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("privilege=wrong", "privilege.disclosure=none"), "privilege.control=wrong replaces facts, but"),
        (
            ("privilege=placebo", "privilege.control=lies"),
            "privilege.control=lies is not valid: choose one of:",
        ),
        (("privilege.beta=-1",), "privilege.beta=-1.0 is not valid: it must be at least 0"),
        (
            ("privilege=constrained_1", "teacher=constrained"),
            "privilege.beta=1.0 would constrain a constrained",
        ),
    ],
)
def test_settings_of_controls_that_make_no_sense_get_one_line(leap, arguments, complaint):  # noqa: F811
    code, _, err = leap("student=tiny", "tracker=jsonl", "run_dir=here", *arguments)
    assert code == 2
    assert err.startswith(f"error: {complaint}")
    assert err.count("\n") == 1
