"""A killed run with real training is resumed to the same records, metrics and weights."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.test_resume import contents

AWAITED = (
    "round_000/student.part",
    "round_000/logprobs_after.json",
    "round_001/trajectories.jsonl",
    "round_001/student",
)
OWN = {"config.yaml", "provenance.json", "report.html"}
UNORDERED = "adapter_config.json"
"""PEFT writes a set into it, in an order that depends on the process."""


def command(run_dir: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "leap_exp", "debug=default", f"run_dir={run_dir}"),
        *("trainer.validation_share=0.4", "demonstrations.count=6", "env.max_steps_train=8", "env.max_steps_eval=8"),
    ]


def results(run_dir: Path) -> dict[str, bytes]:
    files = {name: data for name, data in contents(run_dir).items() if name not in OWN}
    return {name: bytes(sorted(data)) if name.endswith(UNORDERED) else data for name, data in files.items()}


@pytest.mark.slow
def test_killed_while_it_trains_a_run_ends_with_the_same_weights(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(tmp_path / "whole"), env=environment, check=True, stdout=subprocess.DEVNULL)
    for awaited in AWAITED:
        process = subprocess.Popen(command(tmp_path / "killed"), env=environment, stdout=subprocess.DEVNULL)
        while not (tmp_path / "killed" / awaited).exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(tmp_path / "killed"), env=environment, check=True, stdout=subprocess.DEVNULL)
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
