"""Every trainer on an accelerator takes the same steps as on a processor."""

import dataclasses

import pytest
import torch

from tests.unit.students.test_hf import student
from tests.unit.trainers.test_objectives_in_training import LESSONS, TRAINERS, fit, steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("name", list(TRAINERS))
def test_losses_are_those_of_a_processor(name, tmp_path):
    config = dataclasses.replace(TRAINERS[name], epochs=3, batch_size=4, gradient_accumulation=2)
    for device in ("cpu", "cuda"):
        fit(config, tmp_path / device, agent=student(device=device))
    for on_cpu, on_gpu in zip(steps(tmp_path / "cpu"), steps(tmp_path / "cuda"), strict=True):
        assert on_gpu["loss"] == pytest.approx(on_cpu["loss"], rel=1e-3)
        assert on_gpu["tokens"] == on_cpu["tokens"]


@pytest.mark.parametrize("name", list(TRAINERS))
def test_every_trainer_learns_in_bfloat16(name, tmp_path):
    if not torch.cuda.is_bf16_supported():
        pytest.skip("no bfloat16")
    config = dataclasses.replace(TRAINERS[name], epochs=10, learning_rate=3e-3)
    fit(config, tmp_path, LESSONS, agent=student(device="cuda", dtype="bfloat16"))
    losses = [line["loss"] for line in steps(tmp_path)]
    assert losses[-1] < losses[0]
