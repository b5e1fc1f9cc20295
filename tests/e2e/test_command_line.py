"""The command line as a user sees it: results, sweeps, errors. The toy world makes it fast."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.cli.main import main
from leap_exp.runs import read_lines
from tests.e2e.test_resume import contents
from tests.support import toy_main  # noqa: F401 - puts the toy world among the groups

TOY = (
    *("env=toy", "teacher=toy", "student=toy", "trainer=toy", "tracker=jsonl"),
    *("rounds=1", "demonstrations.count=8", "rollouts.tasks=12", "evaluation.tasks=12"),
)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def leap(monkeypatch, capsys, tmp_path):
    """Runs ``leap run`` in this process; returns the exit code, the output and the error output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, command: str = "run") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leaving:
            main([command, *arguments])
        code = int(leaving.value.code or 0)
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


def test_a_finished_run_is_shown_again_and_other_settings_are_rejected(leap, tmp_path):
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


def test_settings_with_old_names_are_converted(leap, tmp_path):
    toy = [argument.replace("trainer=toy", "trainer=sft") for argument in TOY]
    evaluate = (*toy, "rounds=0", "student=random", "trainer.max_changed_steps=3", "run_dir=here")
    assert leap(*evaluate)[0] == 0
    config = tmp_path / "here" / "config.yaml"
    config.write_text(config.read_text().replace("max_changed_steps", "mistakes"))
    assert leap(*evaluate)[0] == 0
    code, _, err = leap(*evaluate, "trainer.max_changed_steps=4")
    assert code == 1
    assert "trainer.max_changed_steps was 3, now 4" in err


def test_a_checkpoint_is_evaluated_as_in_its_run(leap, tmp_path):
    leap(*TOY, "run_dir=here")
    first, second = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    for folder in ("here/round_001", "here/round_001/student", "round=here/round_001"):
        code, out, _ = leap(folder, "tracker=jsonl", "run_dir=there", command="eval")
        assert code == 0
        assert "cloning" not in out
        (entry,) = json.loads((tmp_path / "there" / "summary.json").read_text())["rounds"]
        assert {**entry, "round": 1, "realizability": second["realizability"]} == second
    code, _, _ = leap("here/round_000", "evaluation.tasks=6", "tracker=jsonl", "run_dir=other", command="eval")
    assert code == 0
    (entry,) = json.loads((tmp_path / "other" / "summary.json").read_text())["rounds"]
    assert (entry["n"], entry["panel_hash"] != first["panel_hash"]) == (6, True)


def test_any_student_can_be_evaluated(leap, tmp_path):
    code, _, _ = leap(
        "env=toy", "student=random", "evaluation.tasks=6", "tracker=jsonl", "run_dir=here", command="eval"
    )
    assert code == 0
    assert len(json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere",), "nowhere is not a finished round of a run, an adapter, a model or a member of student; give"),
        (("rounds=3",), "leap eval does not train, so it takes no rounds; use leap run."),
        (("student=random", "checkpoint=there"), "checkpoint=there needs a student that can be trained"),
        (("checkpoint=there",), "checkpoint=there is not a folder"),
    ],
)
def test_an_evaluation_that_is_not_possible_gets_one_line(leap, arguments, complaint):
    code, _, err = leap(*arguments, command="eval")
    assert code == 2
    assert err.startswith(f"error: {complaint}")


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


def test_a_sweep_has_one_folder_per_run_named_by_what_varies(leap, tmp_path):
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
    code, _, _ = leap(*TOY, "experiment=privilege_ladder", "run_dir=ladder", "privilege=p25,wrong", "seed=0,1")
    assert code == 0
    runs = sorted(path.parent for path in (tmp_path / "ladder").glob("*/summary.json"))
    assert len(runs) == 4
    assert {(run / "round_000").resolve() for run in runs} == {tmp_path / "ladder" / "pi_0"}
    cloned = {(run / "metrics.jsonl").read_text().splitlines()[5] for run in runs}
    assert len(cloned) == 1


def test_a_shared_round_0_with_other_settings_is_rejected(leap, tmp_path):
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
    assert "holds other files" in err


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("teacher=oracel", "There is no teacher=oracel; choose one of: claude, "),
        ("teacher=vllm", "teacher.endpoint.model has no value: give one, teacher.endpoint.model=VALUE"),
        ("teacher.mode=step", "There is no setting 'teacher.mode'"),
        ("privilege.facts=gone.jsonl", "privilege.facts=gone.jsonl is not a file"),
        ("experiment=laddr", "choose one of: alfworld_builtin, alfworld_official, dagger, intercode_builtin"),
        ("sed=1", "There is no setting 'sed'; the settings here are: aggregate, batch,"),
        ("env.engin=fast", "There is no setting 'env.engin'; the settings here are: builtin_counts, builtin_seed,"),
        ("student.lora.rank=3", "There is no setting 'student.lora.rank'; the settings here are: alpha, dropout, r,"),
        ("+env.foo=1", "There is no setting 'env.foo'; the settings here are: builtin_counts,"),
        ("trainer.mistakes=3", "The setting trainer.mistakes is now called trainer.max_changed_steps"),
        ("seed=one", "seed=one is not valid: Value 'one' of type 'str' could not be converted to Integer"),
        ("aggregate=some", "aggregate=some is not valid: choose one of: all, balanced, latest"),
        ("env.engine=turbo", "env.engine=turbo is not valid: choose one of: fast, textworld"),
        ("privilege.disclosure=p10", "choose one of: none, p25, p50, p75, p100"),
        ("correct.max_score=2", "correct.max_score=2.0 is not valid: it must lie in [0, 1]"),
        ("student=random", "rounds=3 trains the student, but this one cannot be trained; set rounds=0"),
        ("demonstrations.source=gone.jsonl", "demonstrations.source=gone.jsonl is neither 'expert' nor a file"),
        ("seed=0,1", "seed=0,1 has several values: add -m to sweep over them"),
        ("seed", "'seed' is not of the form setting=value"),
    ],
)
def test_a_mistyped_argument_gets_one_line_with_the_valid_choices(leap, tmp_path, argument, complaint):
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


def test_too_large_a_panel_gets_one_line_and_leaves_no_config(leap, tmp_path):
    code, _, err = leap(*TOY, "run_dir=here", "evaluation.tasks=100")
    assert code == 1
    assert err == "error: evaluation.tasks=100, but split 'valid_unseen' has only 24 tasks: lower the number.\n"
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


def test_killed_in_the_middle_of_every_stage_the_command_resumes(leap, tmp_path):
    """Real processes are killed while the slow toy student acts; the result equals that of an uninterrupted run."""
    leap(*TOY, "run_dir=whole")
    command = [sys.executable, "-m", "tests.support.toy_main", *TOY, f"run_dir={tmp_path / 'killed'}"]
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
