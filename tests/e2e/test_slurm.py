"""A sweep on a real Slurm of one node, started by the test: jobs that are put back go on where they were."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leap_exp.runs.jobs import JobState, read_jobs
from tests.e2e.test_command_line import ROOT
from tests.e2e.test_resume import contents
from tests.support.slurm import command, missing_slurm, one_node_slurm

submitit = pytest.importorskip("submitit", reason="the extra slurm is not installed")
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(missing_slurm() is not None, reason=missing_slurm() or "")]

PROGRAM = "import sys; from leap_exp.cli.main import main; main(sys.argv[1:])"
# Enough epochs to be caught in the middle.
SWEEP = (
    *("run", "-m", "hydra/launcher=slurm", "hydra.launcher.mem_gb=1", "hydra.launcher.cpus_per_task=1"),
    *("hydra.launcher.setup=['export LEAP_TEST=set_up']", "debug=default", "trainer.epochs=20"),
    *("pi_0=first,second", "run_dir=sweep"),
)


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as variables:
        # The order of a set is stored in the adapter's configuration.
        own = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        yield {**variables, **own}


def start(folder: Path, variables: dict[str, str], *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_a_job_that_is_put_back_in_the_middle_of_training_ends_as_one_that_was_not(tmp_path, variables):
    folder = tmp_path / "sweep"
    run = folder / "pi_0=first"
    process = start(tmp_path, variables, *SWEEP)
    # By the operator, or by Slurm after a preemption: the job gets SIGTERM and is killed.
    wait_for(tmp_path / "first" / "student.part.checkpoints", process)
    job = json.loads((run / "job.json").read_text())["job_id"]
    command("scontrol", "requeue", job, variables=variables)
    # By itself, on the signal that Slurm sends before the time limit or a preemption.
    wait_for(run / "round_001" / "student.part.checkpoints", process)
    command("scancel", "--signal=USR2", job, variables=variables)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert [(each.name, each.state) for each in read_jobs(folder)] == [
        ("pi_0=first", JobState.DONE),
        ("pi_0=second", JobState.DONE),
    ]
    assert len(json.loads((run / "provenance.json").read_text())["resumed"]) == 2
    # The card has the command.
    own = {"config.yaml", "provenance.json", "report.html", "job.json", "card.json"}
    first, second = (
        {file: data for file, data in contents(folder / f"pi_0={name}").items() if file not in own}
        for name in ("first", "second")
    )
    assert first == second
    assert contents(tmp_path / "first") == contents(tmp_path / "second")

    again = start(tmp_path, variables, *SWEEP)
    out, _ = again.communicate(timeout=100)
    assert out == "pi_0=first: done already\npi_0=second: done already\n"
    script = next(folder.rglob("*_submission.sh")).read_text()
    assert "#SBATCH --requeue" in script
    assert "export LEAP_TEST=set_up" in script
