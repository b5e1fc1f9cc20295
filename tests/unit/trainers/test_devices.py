"""Training in several processes: the result of one, whatever is trained, stopped or fails."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from leap_exp.core.errors import ConfigError, TrainingError
from leap_exp.core.launch import LaunchConfig
from leap_exp.stages.train import split
from leap_exp.students.engines import in_process
from leap_exp.trainers.config import DistillConfig, DpoConfig, KtoConfig, SftConfig, StagesConfig
from leap_exp.trainers.launch import train_in_processes
from leap_exp.trainers.sharing import cut
from tests.support.records import ACTIONS, correction
from tests.unit.students.test_hf import student
from tests.unit.trainers.test_objectives_in_training import briefed

SETTINGS = {
    "epochs": 2,
    "learning_rate": 1e-2,
    "batch_size": 1,
    "gradient_accumulation": 3,
    "validation_share": 0.3,
    "warmup_steps": 2,
    "max_grad_norm": 1.0,
}
TRAINERS = {
    "sft": SftConfig(**SETTINGS),
    "sft in batches": SftConfig(**{**SETTINGS, "batch_size": 3, "gradient_accumulation": 1}),
    "sft with a budget": SftConfig(**SETTINGS, max_tokens=3000),
    "sft, packed": SftConfig(**SETTINGS, tokens_per_batch=400),
    "kto, packed": KtoConfig(**SETTINGS, beta=0.5, tokens_per_batch=400),
    "dpo with sft": DpoConfig(**SETTINGS, beta=0.5, sft_weight=0.3, steps="all"),
    "kto": KtoConfig(**SETTINGS, beta=0.5, steps="all"),
    "distill from start": DistillConfig(**SETTINGS),
    "distill from current": DistillConfig(**SETTINGS, teacher="current", divergence="jsd", on="teacher"),
}
SHARDED = ("sft, packed", "dpo with sft", "kto")
LESSONS = [
    briefed(
        correction(
            tuple(ACTIONS[(index + step) % 5] for step in range(1 + index % 4)),
            tuple(ACTIONS[(index + (1, 1, 4, 2)[step]) % 5] for step in range(1 + index % 4)),
            name=str(index),
        )
    )
    for index in range(16)
]


def ignore(done, total):
    pass


def training(config, seed=0):
    return config.build().training(student(), *split(LESSONS, config.validation_share), seed=seed)


def fit(config, out, *, devices, on_progress=ignore, agent=None):
    out.mkdir(parents=True, exist_ok=True)
    trainer = config.build().launched(LaunchConfig(devices=str(devices)))
    sides = split(LESSONS, config.validation_share)
    return trainer.fit(agent or student(), *sides, out=out, seed=0, on_progress=on_progress)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "train_log.jsonl").read_text().splitlines()]


@dataclasses.dataclass(frozen=True)
class Several:
    """Trainings one after the other, so that the processes are started once for all of them."""

    trainings: dict

    weights = student().weights()
    has_teacher = False

    def run(self, out, on_progress, *, processes, sharded):
        for name, (each, is_sharded) in self.trainings.items():
            if processes.is_first:
                (out / name).mkdir()
            each.run(out / name, on_progress, processes=processes, sharded=is_sharded)
        return {}


def test_every_trainer_has_in_two_processes_the_losses_and_the_student_of_one(tmp_path):
    both = {name: (training(config), False) for name, config in TRAINERS.items()}
    both |= {f"{name}, sharded": (training(TRAINERS[name]), True) for name in SHARDED}
    shared = tmp_path / "shared"
    shared.mkdir()
    train_in_processes(Several(both), 2, LaunchConfig(devices="2"), out=shared, on_progress=ignore)
    for name, (each, is_sharded) in both.items():
        alone = tmp_path / name
        if not is_sharded:
            alone.mkdir()
            each.run(alone, ignore)
        alone = tmp_path / name.removesuffix(", sharded")
        assert len(losses(alone)) > 4
        # A divergence is a difference of log-probabilities, so near 0 it is no more exact than those.
        assert losses(shared / name) == pytest.approx(losses(alone), rel=1e-5, abs=1e-7), name
        for key, tensor in load_file(alone / "adapter_model.safetensors").items():
            other = load_file(shared / name / "adapter_model.safetensors")[key]
            assert (tensor - other).abs().max() < 1e-4, (name, key)


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_a_training_that_is_stopped_goes_on_with_another_number_of_processes(tmp_path, first, second):
    config = dataclasses.replace(TRAINERS["sft"], epochs=4, checkpoint_steps=1)
    whole = fit(config, tmp_path / "whole", devices=1)

    def stop(done, total):
        if done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "parts", devices=first, on_progress=stop)
    seen = []
    parts = fit(config, tmp_path / "parts", devices=second, on_progress=lambda done, total: seen.append(done))
    assert seen[0] > 2
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
    assert parts["train/tokens_count"] == whole["train/tokens_count"]
    assert parts["train/validation_loss_nats"] == pytest.approx(whole["train/validation_loss_nats"], rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]


@dataclasses.dataclass(frozen=True)
class Failing:
    """A training that fails in the second of two processes."""

    error: Exception | None

    weights = student().weights()
    has_teacher = False

    def run(self, out, on_progress, *, processes, sharded):
        if not processes.is_first:
            if self.error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise self.error
        processes.wait()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("Too wide; make it narrower."), r"^Too wide; make it narrower\.$"),
        (
            IndexError("there is no row 7"),
            r"(?s)Process 1 of the 2 .*failed\. .*stderr\.log.*IndexError: there is no row 7",
        ),
        (None, r"Process 1 of the 2 that trained failed with exit status -9"),
    ],
)
def test_what_a_process_fails_with_is_told(tmp_path, error, expected):
    kind = type(error) if isinstance(error, ConfigError) else TrainingError
    with pytest.raises(kind, match=expected):
        train_in_processes(Failing(error), 2, LaunchConfig(devices="2"), out=tmp_path / "student", on_progress=ignore)


KILLED = """
import sys
from pathlib import Path
from tests.unit.trainers.test_devices import TRAINERS, dataclasses, fit
fit(dataclasses.replace(TRAINERS["sft"], epochs=10_000), Path(sys.argv[1]), devices=2)
"""


def test_all_processes_end_with_the_one_that_started_them_even_if_it_is_killed(tmp_path):
    out = tmp_path / "student"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(out)])
    reports = tmp_path / "student.processes/reports.jsonl"
    while not reports.exists():
        assert process.poll() is None
        time.sleep(0.1)
    assert len(commands_with(out)) >= 5  # this one, the guard, torchrun and two that train
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while commands_with(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not commands_with(out)


def commands_with(text):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if str(text).encode() in command:
            found.append(command)
    return found


def test_stages_train_in_processes_each(tmp_path):
    sft = TRAINERS["sft"]
    config = StagesConfig(stages={"sft": sft, "dpo": TRAINERS["dpo with sft"]}, validation_share=0.3)
    launched = config.build().launched(LaunchConfig(devices="3"))
    assert {trainer._launch.devices for trainer in launched._trainers.values()} == {"3"}
    assert launched.cloning._launch.devices == "3"


def test_a_step_is_cut_so_that_every_process_has_a_part():
    assert cut(list(range(8)), 8, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert cut(list(range(5)), 2, 2) == [[0, 1], [2, 3], [4]]
    assert [len(part) for part in cut(list(range(3)), 4, 8)] == [1, 1, 1]


def test_devices_that_are_not_there_are_refused_and_auto_is_one_without_accelerators(monkeypatch):
    from leap_exp.trainers import launch

    with pytest.raises(ConfigError, match=r"launch\.devices=two is not valid"):
        LaunchConfig(devices="two")
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 2)
    assert launch.count_devices(LaunchConfig(devices="auto"), "cuda") == 2
    assert launch.count_devices(LaunchConfig(devices="auto"), "cpu") == 1
    assert launch.count_devices(LaunchConfig(), "cuda") == 1
    with pytest.raises(ConfigError, match=r"launch\.devices=3, but 2 accelerators"):
        launch.count_devices(LaunchConfig(devices="3"), "cuda")


def test_distillation_cannot_be_spread_over_devices(tmp_path):
    config = TRAINERS["distill from start"]
    launched = config.build().launched(LaunchConfig(devices="2", sharding="full"))
    with pytest.raises(ConfigError, match=r"launch\.sharding=none"):
        launched.fit(student(), LESSONS, [], out=tmp_path / "student", seed=0, on_progress=ignore)


def test_a_student_that_fits_on_no_device_is_looked_at_on_the_processor(monkeypatch):
    loaded = []

    def load(source, *, device, **how):
        loaded.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError("no room")
        return load_model(source, device=device, **how)

    load_model = in_process.load_model
    monkeypatch.setattr(in_process, "load_model", load)
    weights = student(device="cuda").weights()
    assert loaded == ["cuda", "cpu"]
    assert weights.one_pass
    assert pickle.loads(pickle.dumps(weights)).resident_bytes() == weights.resident_bytes() > 0
    assert loaded == ["cuda", "cpu"]


@pytest.mark.gpu
def test_two_accelerators_have_the_losses_of_one(tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two accelerators")
    config = TRAINERS["sft"]
    agent = student(device="cuda")
    for devices in (1, 2):
        fit(config, tmp_path / str(devices), devices=devices, agent=agent)
    sharded = config.build().launched(LaunchConfig(devices="2", sharding="full"))
    (tmp_path / "sharded").mkdir()
    sides = split(LESSONS, config.validation_share)
    sharded.fit(agent, *sides, out=tmp_path / "sharded", seed=0, on_progress=ignore)
    for name in ("2", "sharded"):
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "1"), rel=1e-3)
