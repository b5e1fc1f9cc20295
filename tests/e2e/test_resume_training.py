"""A killed run with real training is resumed to the same records, metrics and weights."""

import datetime
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers.utils import chat_template_utils

from leap_exp.cli import run
from leap_exp.students.weights import load_model, load_tokenizer
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


@pytest.mark.slow
def test_a_run_that_is_resumed_a_day_later_has_the_same_records_though_its_template_writes_the_date(
    tmp_path, monkeypatch
):
    weights = str(tmp_path / "weights")
    tokenizer = load_tokenizer("tiny")
    tokenizer.chat_template = "<|im_start|>{{ strftime_now('%d %b %Y') }}<|im_end|>" + tokenizer.chat_template
    tokenizer.save_pretrained(weights)
    load_model("tiny", dtype=torch.float32, device="cpu").save_pretrained(weights)

    def run_on(day, name):
        class Pretended(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls(2030, 1, day, tzinfo=tz)

        monkeypatch.setattr(chat_template_utils, "datetime", Pretended)
        changes = [f"student.model={weights}", "student.format=chat"]
        assert run.main([*command(tmp_path / name)[3:], *changes]) == 0

    run_on(1, "whole")
    run_on(1, "resumed")
    shutil.rmtree(tmp_path / "resumed/round_001")
    (tmp_path / "resumed/round_000/evaluation.jsonl").unlink()
    run_on(2, "resumed")
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")
