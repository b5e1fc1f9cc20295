"""``leap run --dry-run``: the plan of a run, without a run folder, a download or a connection."""

import re

import pytest

from leap_exp.cli import run
from leap_exp.cli.dry_run import note_pace
from leap_exp.config.plan import plan_stages
from leap_exp.config.registry import members, sweep_parameters
from leap_exp.config.run import RunConfig
from leap_exp.runs import LineLog, write_document
from leap_exp.students.config import HfStudentConfig
from leap_exp.students.sizing.shapes import SHAPES
from leap_exp.students.sizing.speed import RunPace, Speed, calibrate, known_pace, known_speed, remember_speed
from leap_exp.tracking.jsonl import JsonlTracker


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Return a function that gives the printed plan; it fails if anything was written but the cache."""
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)

    def print_plan(*arguments):
        status = run.main([*arguments, "--dry-run"])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        assert [path.name for path in tmp_path.iterdir()] in ([], ["cache"])
        return captured.out

    return print_plan


def row(text, name):
    line, *_ = [line for line in text.splitlines() if re.match(rf"\s+{name}\s", line)]
    return re.split(r"\s{2,}", line.strip())


def test_the_plan_of_a_run_on_this_machine(plan):
    text = plan("student=tiny", "env=alfworld", "rounds=2", "rollouts.tasks=10", "demonstrations.count=5")
    assert row(text, "rollout")[1] == "20 episodes of up to 20 steps"
    assert row(text, "evaluate")[1] == "108 episodes of up to 30 steps"
    assert row(text, "train")[1].startswith("5 to 15 trajectories per round")
    assert "tokens/s read" in text
    assert len(row(text, "train")) == 5
    assert "It fits" in text


def test_llama_31_70b_is_planned_for_a_card_that_is_not_here(plan):
    text = plan("student=llama31_70b", "student.quantization=nf4", "student.device=cuda", "teacher=gpt4o", "batch=8")
    assert "not on this machine (cuda, bfloat16)" in text
    assert "A device needs 73.7 GiB" in text
    correct = row(text, "correct")
    assert correct[-2:] == ["?", "7.00"]
    assert row(text, "rollout")[-2] == "?"


def test_a_student_behind_a_server_costs_dollars_and_no_memory(plan):
    text = plan("student=gpt4o_mini", "rounds=0", "evaluation.tasks=10")
    assert float(row(text, "evaluate")[-1]) > 0
    assert "Memory" not in text


PAPER = {
    "paper_alfworld": ("10,659 episodes of up to 20 steps", "536 episodes of up to 30 steps", "by gpt-4o"),
    "paper_webshop": ("31,761 episodes of up to 15 steps", "2,000 episodes of up to 30 steps", "by gpt-4o"),
    "paper_intercode": ("113 episodes of up to 10 steps", "174 episodes of up to 10 steps", "by gpt-4o"),
    "paper_self_improvement": ("7,106 episodes of up to 20 steps", "402 episodes of up to 30 steps", "7,106"),
    "paper_sft_vs_preference": ("10,659 episodes of up to 20 steps", "536 episodes of up to 30 steps", "by gpt-4o"),
}
"""Rollouts, evaluations and a part of the corrections of the paper's tables."""


@pytest.mark.parametrize("experiment", PAPER)
def test_the_paper_s_tables_have_a_plan(experiment, plan):
    swept = ("-m",) if experiment == "paper_sft_vs_preference" else ()
    text = plan(*swept, f"experiment={experiment}", "student.device=cuda")
    rollouts, evaluations, correction = PAPER[experiment]
    assert row(text, "rollout")[1] == rollouts
    assert row(text, "evaluate")[1] == evaluations
    assert correction in row(text, "correct")[1]
    assert text.count("A device needs") == (3 if swept else 1)


@pytest.mark.parametrize("env", ["alfworld", "webshop", "intercode_bash"])
def test_the_privilege_ladder_has_a_plan_in_every_environment(env, plan):
    arms = ("p25", "no_correction", "wrong", "constrained_1")
    swept = sweep_parameters("experiment", "privilege_ladder")["privilege"].split(",")
    assert set(arms) < set(swept) == set(members("privilege"))
    text = plan(
        "-m", "experiment=privilege_ladder", f"env={env}", "student=tiny", "seed=0", f"privilege={','.join(arms)}"
    )
    assert re.findall(r"^Run: privilege=(\w+)", text, flags=re.MULTILINE) == list(arms)
    assert row(text, "rollout")[1].startswith("48 episodes")
    assert row(text, "evaluate")[1].startswith("120 episodes")


def test_an_unknown_model_is_an_error_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run.main(["student=llama3_8b", "student.model=nobody/nothing", "--dry-run"])
    assert "The shape of student.model=nobody/nothing is not known" in capsys.readouterr().err


def test_the_speed_is_kept_for_machine_model_and_type(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path))
    import torch

    shape = SHAPES["tiny"]
    all_layers = calibrate(shape, device="cpu", dtype=torch.float32, conversations=4, adapted_layers=2)
    assert all_layers.read > all_layers.trained > 0
    remember_speed("tiny", all_layers, device="cpu", dtype="float32")
    assert known_speed("tiny", device="cpu", dtype="float32") == all_layers
    assert known_speed("tiny", device="cpu", dtype="bfloat16") is None


def test_a_run_leaves_its_pace_and_later_plans_use_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    config = RunConfig(student=HfStudentConfig(model="tiny", device="cpu", dtype="float32"), run_dir="x", rounds=1)
    tracker, timings = JsonlTracker(tmp_path), LineLog(tmp_path / "timings.jsonl")
    tracker.log({"evaluate/n_count": 9.0, "evaluate/unscored_count": 1.0}, round_index=0)
    tracker.log({"rollout/n_count": 10.0}, round_index=0)  # of the expert
    tracker.log({"train/rows_count": 4.0, "train/tokens_count": 400.0}, round_index=0)
    timings.append({"round": 0, "stage": "trajectories", "seconds": 100.0})
    timings.append({"round": 0, "stage": "evaluation", "seconds": 5.0})
    timings.append({"round": 0, "stage": "student", "metrics": {"train/tokens_per_second": 50.0}})
    write_document(tmp_path / "summary.json", {"rounds": []})
    note_pace(config, tmp_path)
    pace = known_pace("tiny", "EnvironmentConfig", device="cpu", dtype="float32")
    assert pace == RunPace(episode_seconds=0.5, trajectory_tokens=100.0, trained=50.0)
    config.evaluation.tasks = 20
    stages = {stage.name: stage for stage in plan_stages(config, Speed(read=1.0, written=1.0, trained=1.0), pace)}
    assert stages["evaluate"].seconds == 2 * 20 * 0.5
    assert stages["train"].seconds == pytest.approx(stages["train"].tokens / 50.0)
