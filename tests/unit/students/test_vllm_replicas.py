"""A student that acts through several vLLM servers: all have its adapter, and the others go on where one dies."""

import contextlib
import threading

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.llm import Endpoint, replicas
from leap_exp.stages.rollout import rollout
from leap_exp.students.config import AdapterConfig, VllmStudentConfig
from leap_exp.students.engines.vllm_server import visible_device
from tests.support.toy import ToyEnvironment
from tests.support.vllm_server import VllmLikeServer, vllm_server
from tests.unit.students.test_vllm import VIEWS, Household, adapter, loads


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def servers():
    with vllm_server("tiny") as first, vllm_server("tiny") as second:
        yield [first, second]


def student_of(servers, environment):
    urls = [server.url for server in servers]
    config = VllmStudentConfig(
        endpoint=Endpoint(base_url=urls[0], base_urls=urls, model="tiny", concurrency=2),
        model="tiny",
        format="plain",
        reasons=False,
        dtype="float32",
        device="cpu",
        max_new_tokens=8,
        serve=False,
        lora=AdapterConfig(r=4),
    )
    return config.build(environment)


def completions(server):
    return server.called("/v1/completions")


def test_the_adapter_is_on_all_servers_before_anything_is_asked_and_decisions_are_those_of_this_process(
    servers, tmp_path
):
    student = student_of(servers, Household())
    for seed in (1, 2):
        student = student.load(adapter(student, tmp_path / str(seed), seed=seed), policy_id=f"tiny/{seed}")
        decisions = student.act(VIEWS, seed=0)
        assert decisions == student.local.act(VIEWS, seed=0)
        for server in servers:
            assert len(loads(server)) == seed
            assert len(server.adapters) == 1
    assert all(map(completions, servers))
    assert student.concurrency == 4
    for server in servers:
        paths = [path for path, body in server.calls if "probe" not in str(body)]
        assert paths.index("/v1/load_lora_adapter") < paths.index("/v1/completions")


def test_episodes_of_a_server_that_dies_go_on_at_the_other_and_it_gets_its_adapter_again(
    servers, tmp_path, monkeypatch
):
    monkeypatch.setattr(replicas, "FIRST_PAUSE_SECONDS", 0.2)
    environment = ToyEnvironment()
    student = student_of(servers, environment)
    student = student.load(adapter(student, tmp_path / "1", seed=1), policy_id="tiny/1")
    tasks = environment.tasks("train")
    how = {"seed": 0, "max_steps": 3, "batch": 6}
    expected = rollout(environment, student.local, tasks, on_progress=lambda *_: None, **how)
    dying, lasting = servers
    port = dying._server.server_port
    again: list[VllmLikeServer] = []

    def on_progress(done, total):
        if done == 8:
            dying.close()
        if done == 16:
            again.append(VllmLikeServer("tiny", port=port))
            threading.Thread(target=again[0].serve, daemon=True).start()

    trajectories = rollout(environment, student, tasks, on_progress=on_progress, **how)
    try:
        assert [(each.task, each.steps, each.score) for each in trajectories] == [
            (each.task, each.steps, each.score) for each in expected
        ]
        assert completions(dying)
        assert len(completions(lasting)) > len(completions(dying))
        assert student.usage()["replies_count"] == sum(len(each.steps) for each in trajectories)
        # What the server that came back has answered, it has answered with the adapter.
        student._acting._client._server._replicas[0].asked_again_at = 0.0
        student.act(VIEWS, seed=3)
        assert list(again[0].adapters) == list(lasting.adapters)
    finally:
        with contextlib.suppress(IndexError):
            again[0].close()


def test_without_any_server_the_error_is_that_of_one():
    with pytest.raises(ProviderError, match="No server answers"):
        student_of([Nowhere(), Nowhere()], Household())


class Nowhere:
    url = "http://127.0.0.1:9/v1"


def test_a_server_started_here_sees_one_of_the_accelerators_that_are_shown(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_device(None) == {}
    assert visible_device(1) == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert visible_device(1) == {"CUDA_VISIBLE_DEVICES": "6"}
