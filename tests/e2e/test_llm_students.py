"""Students behind servers by the command line: a real chat server, a killed run, and a round through vLLM."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from leap_exp.config.registry import members
from leap_exp.runs import read_metrics
from tests.e2e.test_command_line import leap  # noqa: F401 - a fixture
from tests.e2e.test_resume import contents
from tests.support.chat_server import chat_server
from tests.support.fault_server import TOO_LONG, answer, fault_server
from tests.support.sandboxes import sandbox_settings
from tests.support.vllm_server import vllm_server

ROOT = Path(__file__).parents[2]
EVALUATE = ("student=local", "rounds=0", "tracker=jsonl", "evaluation.tasks=2", "env.max_steps_eval=3")
TRAIN = ("rounds=1", "demonstrations.count=4", "rollouts.tasks=2", "probes=2", "evaluation.tasks=2", "tracker=jsonl")
TINY = (
    *("student.model=tiny", "student.dtype=float32", "student.lora.r=4"),
    *("student.format=plain", "student.reasons=false", "student.list_actions=false", "student.decoding=free"),
    *(
        "env.max_steps_eval=5",
        "student.max_new_tokens=8",
        "trainer.epochs=1",
        "trainer.learning_rate=1.0e-3",
        "trainer.warmup_steps=0",
    ),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def url():
    with chat_server("tiny") as url:
        yield url


@pytest.mark.parametrize("name", members("env"))
def test_a_model_behind_a_real_server_is_evaluated_on_every_environment(name, url, leap, tmp_path):  # noqa: F811
    server = (
        *sandbox_settings(name),
        f"student.endpoint.base_url={url}",
        "student.endpoint.model=tiny",
        "student.endpoint.max_tokens=8",
    )
    code, out, err = leap(f"env={name}", *EVALUATE, *server, "student.context_length=16384", "run_dir=here")
    assert (code, err) == (0, "")
    assert "Episodes: tiny at 127.0.0.1" in " ".join(out.split())
    assert "Language models" in out
    (entry,) = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    assert (entry["n"], entry["unscored"]) == (6 if name == "joint" else 2, 0)
    metrics = read_metrics(tmp_path / "here")[0]
    assert metrics["llm/evaluate/replies_count"] == pytest.approx(entry["n"] * entry["steps_mean"])
    assert metrics["llm/evaluate/tokens_out_count"] > 0
    assert metrics["llm/evaluate/cost_dollars"] == 0.0


def test_rounds_with_a_student_that_cannot_be_trained_are_rejected(leap):  # noqa: F811
    code, _, err = leap("student=gpt4o")
    assert code == 2
    assert "rounds=3 trains the student, but this one cannot be trained; set rounds=0." in err


def test_a_missing_key_is_named_before_anything_is_written(leap, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, _, err = leap("student=gpt4o", "rounds=0", "run_dir=here")
    assert code == 1
    assert "OPENAI_API_KEY" in err
    assert not (tmp_path / "here" / "config.yaml").exists()


def test_an_episode_without_an_answer_is_unscored_and_the_others_count(leap, tmp_path):  # noqa: F811
    with fault_server(lambda body: TOO_LONG if len(server.bodies) == 3 else answer("ACTION: look")) as server:
        code, _, _ = leap(*EVALUATE, "evaluation.tasks=4", f"student.endpoint.base_url={server.url}", "run_dir=here")
    assert code == 0
    (entry,) = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    assert (entry["n"], entry["unscored"]) == (3, 1)
    assert read_metrics(tmp_path / "here")[0]["llm/evaluate/failures_count"] == 1


def test_a_killed_evaluation_resumes_without_repeating_requests(leap, tmp_path):  # noqa: F811
    answered: Counter[str] = Counter()

    def script(body):
        time.sleep(0.1)
        answered[json.dumps(body, sort_keys=True)] += 1
        return answer("REASON: To see more.\nACTION: look")

    with fault_server(script) as server:
        arguments = (*EVALUATE, "evaluation.tasks=4", f"student.endpoint.base_url={server.url}")
        command = [sys.executable, "-m", "leap_exp", *arguments, f"run_dir={tmp_path / 'killed'}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        while len(server.bodies) < 6 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        # Concurrency is 1, so only the request in flight at the kill can have been repeated.
        assert len(answered) == 12
        assert sum(answered.values()) <= 13
        asked = len(server.bodies)
        assert leap(*arguments, "run_dir=again")[0] == 0
        assert len(server.bodies) == asked
    # The card has the command.
    own = {"config.yaml", "provenance.json", "report.html", "card.json"}
    killed, again = (
        {name: data for name, data in contents(tmp_path / run).items() if name not in own}
        for run in ("killed", "again")
    )
    assert killed == again


def test_a_round_through_vllm_is_the_round_in_this_process(leap, tmp_path):  # noqa: F811
    assert leap("student=tiny", *TRAIN, *TINY, "run_dir=here")[0] == 0
    with vllm_server("tiny") as server:
        address = (f"student.endpoint.base_url={server.url}", "student.serve=false")
        assert leap("student=vllm", *TRAIN, *TINY, *address, "run_dir=there")[0] == 0
        loaded = [Path(body["lora_path"]).parent.name for body in server.called("/v1/load_lora_adapter")]
        # The first call only asks, before any training, whether the server can load adapters.
        assert loaded[1:] == ["round_000", "round_001"]
        # The last one is unloaded with the student, here, or when the process ends.
        gc.collect()
        assert not server.adapters
    for name in ("trajectories", "corrections", "evaluation"):
        here, there = (
            (tmp_path / run / "round_001" / f"{name}.jsonl").read_text().splitlines() for run in ("here", "there")
        )
        assert without_metrics(here) == without_metrics(there)
    assert read_metrics(tmp_path / "there")[1]["llm/rollout/replies_count"] > 0


def without_metrics(lines):
    """The lines of a record file without the first one, which holds metrics."""
    return lines[1:]


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("vllm") is None, reason="vllm is not installed")
def test_a_round_through_vllm_itself(leap, tmp_path):  # noqa: F811
    model = ("student.model=smollm2_135m", "student.lora.r=8", "student.context_length=8192")
    code, out, _ = leap("student=vllm", *TRAIN, *model, "run_dir=here")
    assert code == 0
    assert "Language models" in out
    metrics = read_metrics(tmp_path / "here")
    assert metrics[0]["llm/evaluate/replies_count"] > 0
    assert metrics[1]["llm/rollout/failures_count"] == 0
    # It slept during training, so the second time it was asked it had woken up.
    (log,) = (tmp_path / "cache").glob("vllm_*.log")
    assert log.read_text().count('POST /wake_up HTTP/1.1" 200') >= 1
