"""Installed from a wheel, the command line works outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the contents of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def leap(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "leap_exp", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_composes_its_configuration(installed, tmp_path):
    shown = leap(installed, tmp_path, "--cfg", "job", "student=qwen3_4b", "privilege=p25")
    assert shown.returncode == 0, shown.stderr
    assert "model: Qwen/Qwen3-4B" in shown.stdout
    assert "disclosure: p25" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_runs(installed, tmp_path):
    run = leap(
        installed,
        tmp_path,
        *("rounds=0", "student=scripted_expert", "evaluation.tasks=6", "tracker=jsonl", "run_dir=here"),
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "here" / "report.html").exists()
