"""The command line as a user meets it: results, sweeps, refusals. The toy world keeps it quick."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.__main__ import main
from leap_exp.store import read_lines
from tests import toy_main  # noqa: F401 - puts the toy world among the groups
from tests.e2e.test_resume import contents

TOY = (
    *("env=toy", "teacher=toy", "student=toy", "trainer=toy", "tracker=jsonl"),
    *("rounds=1", "demonstrations.count=8", "rollouts.tasks=12", "evaluation.tasks=12"),
)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def leap(monkeypatch, capsys, tmp_path):
    """Runs the command line in this process: exit code, what it printed, what it complained about."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["leap_exp", *arguments])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_run_ends_with_its_table_its_report_and_its_files(leap, tmp_path):
    code, out, err = leap(*TOY, "run_dir=here")
    assert (code, err) == (0, "")
    assert "valid_unseen, 12 tasks" in out
    assert "0 (cloning)" in out
    assert f"Report: {tmp_path / 'here' / 'report.html'}" in out.replace("\n", "")
    rounds = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    assert [entry["success_rate"] for entry in rounds] == [0.25, 0.5]
    assert [entry["n"] for entry in rounds] == [12, 12]
    assert rounds[0]["panel_hash"] == rounds[1]["panel_hash"]
    provenance = json.loads((tmp_path / "here" / "provenance.json").read_text())
    assert provenance["panel_hash"] == rounds[0]["panel_hash"]
    assert "run_dir=here" in provenance["command"]
    assert provenance["libraries"]["leap-exp"]
    assert read_lines(tmp_path / "here" / "timings.jsonl")


def test_a_finished_run_is_shown_again_and_another_config_refused(leap, tmp_path):
    leap(*TOY, "run_dir=here")
    before = contents(tmp_path / "here")
    code, out, _ = leap(*TOY, "run_dir=here", "tracker=jsonl")
    assert code == 0
    assert "rollout" not in out
    after = contents(tmp_path / "here")
    assert {name for name in after if before[name] != after[name]} <= {"provenance.json", "report.html"}
    code, _, err = leap(*TOY, "run_dir=here", "seed=3", "student=random", "rounds=0")
    assert code == 1
    assert "seed was 0, now 3" in err
    assert "student.name was toy, now random" in err
    assert contents(tmp_path / "here") == after


def test_rounds_0_evaluates_only(leap, tmp_path):
    code, out, _ = leap(*TOY, "rounds=0", "student=random", "run_dir=here")
    assert code == 0
    assert "cloning" not in out
    assert sorted(path.name for path in (tmp_path / "here" / "round_000").iterdir()) == ["evaluation.jsonl"]


def test_demonstrations_can_come_from_a_file(leap, tmp_path):
    leap(*TOY, "run_dir=first")
    source = tmp_path / "first" / "round_000" / "trajectories.jsonl"
    code, _, _ = leap(*TOY, "run_dir=second", f"demonstrations.source={source}", "seed=4")
    assert code == 0
    assert (tmp_path / "second" / "round_000" / "trajectories.jsonl").read_bytes() == source.read_bytes()


def test_a_sweep_makes_a_folder_a_run_named_by_what_varies(leap, tmp_path):
    code, _, _ = leap("-m", *TOY, "run_dir=sweep", "seed=0,1", "privilege=none,p100")
    assert code == 0
    assert sorted(path.parent.name for path in (tmp_path / "sweep").glob("*/summary.json")) == [
        "privilege=none,seed=0",
        "privilege=none,seed=1",
        "privilege=p100,seed=0",
        "privilege=p100,seed=1",
    ]
    assert (tmp_path / "sweep" / "report.html").exists()


def test_the_privilege_ladder_shares_one_round_0(leap, tmp_path):
    code, _, _ = leap(*TOY, "experiment=privilege_ladder", "run_dir=ladder")
    assert code == 0
    runs = sorted(path.parent for path in (tmp_path / "ladder").glob("*/summary.json"))
    assert len(runs) == 15
    assert {(run / "round_000").resolve() for run in runs} == {tmp_path / "ladder" / "pi_0"}
    cloned = {(run / "metrics.jsonl").read_text().splitlines()[5] for run in runs}
    assert len(cloned) == 1


def test_a_shared_round_0_of_another_config_is_refused(leap, tmp_path):
    leap(*TOY, "run_dir=first", "seed=5")
    code, _, _ = leap(*TOY, "run_dir=second", "pi_0=first/round_000")
    assert code == 0
    code, _, err = leap(*TOY, "run_dir=third", "pi_0=first/round_000", "env.max_steps_train=3")
    assert code == 1
    assert "env.max_steps_train was 4, now 3" in err
    assert not (tmp_path / "third" / "config.yaml").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    code, _, err = leap(*TOY, "run_dir=third", "pi_0=other")
    assert "holds other things" in err


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("teacher=oracel", "There is no teacher=oracel; choose one of: claude, "),
        ("teacher=vllm", "teacher.endpoint.model has no value: give one, teacher.endpoint.model=VALUE"),
        ("teacher.mode=step", "There is no setting 'teacher.mode'"),
        ("privilege.facts=gone.jsonl", "privilege.facts=gone.jsonl is not a file"),
        ("experiment=laddr", "choose one of: alfworld_builtin, alfworld_official, intercode_builtin, privilege_"),
        ("sed=1", "There is no setting 'sed'; here there are: aggregate, batch,"),
        ("env.engin=fast", "There is no setting 'env.engin'; here there are: base, builtin_counts,"),
        ("student.lora.rank=3", "There is no setting 'student.lora.rank'; here there are: alpha, dropout, r,"),
        ("+env.foo=1", "There is no setting 'env.foo'; here there are:"),
        ("seed=one", "seed=one is not valid: Value 'one' of type 'str' could not be converted to Integer"),
        ("aggregate=some", "aggregate=some is not valid; choose one of: all, balanced, latest"),
        ("env.engine=turbo", "env.engine=turbo is not valid; choose one of: fast, textworld"),
        ("privilege.disclosure=p10", "choose one of: none, p25, p50, p75, p100"),
        ("correct.max_score=2", "correct.max_score=2.0 is not valid; it must lie in [0, 1]"),
        ("student=random", "rounds=3 trains the student, but this one cannot be trained; set rounds=0"),
        ("demonstrations.source=gone.jsonl", "demonstrations.source=gone.jsonl is neither 'expert' nor a file"),
        ("seed", "'seed' is not of the form setting=value"),
    ],
)
def test_what_is_mistyped_gets_one_line_with_the_valid_choices(leap, tmp_path, argument, complaint):
    code, _, err = leap(argument)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert complaint in err
    assert list(tmp_path.rglob("*.yaml")) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("teacher=constrained", "teacher.inner=self"),
            "teacher.inner=self is chosen from a group: write teacher@teacher.inner=self.",
        ),
        (
            ("teacher=gpt4o", "teacher.endpoint=claude"),
            "teacher.endpoint=claude is chosen from a group: write endpoint@teacher.endpoint=claude.",
        ),
        (("teacher=constrained", "teacher@teacher.inner=me"), "There is no teacher=me; choose one of: claude, "),
        (("teacher=gpt4o", "endpoint@teacher.endpoint=me"), "There is no endpoint=me; choose one of: claude, "),
        (
            ("teacher=constrained", "teacher@teacher.inner=vllm"),
            "teacher.inner.endpoint.model has no value: give one, teacher.inner.endpoint.model=VALUE.",
        ),
    ],
)
def test_groups_within_groups_are_explained(leap, arguments, complaint):
    code, _, err = leap(*arguments)
    assert code == 2
    assert err.startswith(f"error: {complaint}")


def test_what_data_cannot_give_gets_one_line_and_leaves_no_config(leap, tmp_path):
    code, _, err = leap(*TOY, "run_dir=here", "evaluation.tasks=100")
    assert code == 1
    assert err == "error: evaluation.tasks=100, but split 'valid_unseen' has 24 tasks: ask for at most those.\n"
    code, _, _ = leap(*TOY, "run_dir=here")
    assert code == 0


def test_a_failing_run_of_a_sweep_does_not_stop_the_others(leap, tmp_path):
    toy = [argument for argument in TOY if not argument.startswith("evaluation.tasks")]
    code, _, err = leap("-m", *toy, "run_dir=sweep", "evaluation.tasks=100,12")
    assert code == 1
    assert "evaluation.tasks=100, but split" in err
    assert (tmp_path / "sweep" / "evaluation.tasks=12" / "summary.json").exists()


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)


def test_killed_in_the_middle_of_every_stage_the_command_goes_on(leap, tmp_path):
    """Real processes, killed while the toy student takes its time; the end equals an uninterrupted run's."""
    leap(*TOY, "run_dir=whole")
    command = [sys.executable, "-m", "tests.toy_main", *TOY, f"run_dir={tmp_path / 'killed'}"]
    environment = {**os.environ, "TOY_SECONDS": "0.1"}
    for awaited in ("round_000/trajectories.jsonl", "round_000/student", "round_001/trajectories.jsonl"):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        wait_for(tmp_path / "killed" / awaited, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    own = {"config.yaml", "provenance.json", "report.html"}
    killed, whole = (
        {name: data for name, data in contents(tmp_path / run).items() if name not in own}
        for run in ("killed", "whole")
    )
    assert killed == whole
