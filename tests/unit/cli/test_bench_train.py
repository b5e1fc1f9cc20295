"""``bench train`` and ``gpu-check`` on a processor, with random weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leap_exp.cli import gpu_check
from leap_exp.cli.bench import main
from leap_exp.cli.bench_step_rows import rows_per_step
from leap_exp.cli.bench_train import corrected_episodes
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.environment import AlfworldEnvironment

ROOT = Path(__file__).parents[3]


def test_the_bench_compares_the_same_work(capsys):
    assert main(["train", "--shape", "tiny", "--device", "cpu", "--corrections", "2", "--seconds", "4"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["trajectories"] == 2
    assert result["loss_relative_difference"] < 1e-4
    assert result["authors_tokens_ratio"] > 5
    assert result["ours"]["tokens_per_second"] > 0
    assert result["authors"]["tokens_per_trajectory"] == pytest.approx(
        result["authors_tokens_ratio"] * result["ours"]["tokens_per_trajectory"], rel=0.01
    )
    assert "skipped" in result["trl"] or result["trl_tokens_ratio"] == result["authors_tokens_ratio"]


def test_the_work_is_failed_episodes_of_20_steps_corrected_at_each():
    from tests.unit.students.test_hf import student

    (correction,) = corrected_episodes(AlfworldEnvironment(AlfworldConfig()), 1)
    assert len(correction.decisions) == 20
    assert any(correction.changed)
    rows = rows_per_step(student(decoding="free", context_length=8192), correction)
    assert len(rows) == 20
    assert [len(row.prompt) for row in rows] == sorted(len(row.prompt) for row in rows)
    assert rows[0].labels[-1] == rows[0].response[-1]


def test_make_gpu_check_needs_no_variable():
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OUT")}
    command = ["make", "gpu-check", "GPU_CHECK_ARGS=--help", f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--seconds" in done.stdout


def test_parts_that_lack_a_package_are_skipped(monkeypatch, tmp_path):
    monkeypatch.setenv("OUT", str(tmp_path / "new"))
    monkeypatch.setattr(gpu_check, "find_spec", lambda name: None)
    app = gpu_check.typer.Typer()
    app.command()(gpu_check.main)
    done = CliRunner().invoke(app, ["--device", "cpu", "--shape", "tiny"])
    assert done.exit_code == 0
    result = json.loads((tmp_path / "new" / "gpu_check.json").read_text())
    assert {result[name]["status"] for name in ("tests", "train", "engine")} == {"skipped"}


def test_a_part_ends_with_its_time_and_keeps_what_it_printed(monkeypatch, tmp_path):
    monkeypatch.setenv("OUT", str(tmp_path))
    code = 'import time; print(\'{"benchmark": "x"}\', flush=True); time.sleep(60)'
    part = gpu_check._Part("train", [sys.executable, "-c", code], 2.0)
    result = gpu_check._run(part, deadline=float("inf"))
    assert result["status"] == "out of time"
    assert result["result"] == {"benchmark": "x"}
    assert "benchmark" in (tmp_path / "train.log").read_text()


def test_the_check_needs_no_package_that_a_bare_machine_lacks():
    absent = ("hydra", "omegaconf", "openai", "wandb", "platformdirs", "rapidfuzz", "datasets", "trl")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r})); "
        "import leap_exp.cli.gpu_check, leap_exp.cli.bench_train, leap_exp.cli.bench_engine"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
