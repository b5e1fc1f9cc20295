"""Language-model teachers by the command line: scripted ones, a real one, and one whose run is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from omegaconf import OmegaConf

from leap_exp.cli import data
from leap_exp.config.registry import members
from leap_exp.core.types import Correction, CorrectionFailure, PrivilegedFacts, Trajectory
from leap_exp.runs import read_metrics, read_records, write_records
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import ExpertPolicy
from tests.contracts.conftest import configured
from tests.e2e.test_command_line import ROOT, TOY, leap  # noqa: F401 - a fixture
from tests.support.chat_server import chat_server
from tests.support.fault_server import answer, fault_server
from tests.support.sandboxes import sandbox_settings
from tests.support.teaching_server import REASON, asked, corrections, is_ranking, teaching

LLM = tuple("teacher=local" if argument == "teacher=toy" else argument for argument in TOY)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    with fault_server(teaching()) as running:
        yield running


def at(server, **settings):
    settings = {"base_url": server.url, "model": "scripted", **settings}
    return [f"teacher.endpoint.{name}={value}" for name, value in settings.items()]


def results_of(folder):
    return read_records(folder / "round_001" / "corrections.jsonl").records


@pytest.mark.parametrize("mode", ["trajectory", "step"])
def test_a_run_with_a_scripted_model_shows_its_cost_and_costs_nothing_when_repeated(leap, server, tmp_path, mode):  # noqa: F811
    command = (*LLM, *at(server, price_in=2.0, price_out=8.0), f"teacher.mode={mode}")
    code, out, _ = leap(*command, "run_dir=here")
    assert code == 0
    assert "Corrections: scripted at 127.0.0.1" in out
    assert "Language models" in out
    results = results_of(tmp_path / "here")
    assert results
    assert all(isinstance(result, Correction) for result in results)
    assert {decision.reason for result in results for decision in result.decisions} == {REASON}
    assert all(any(result.changed) for result in results)
    metrics = read_metrics(tmp_path / "here")[1]
    assert metrics["llm/correct/replies_count"] == len(server.bodies)
    assert metrics["llm/correct/cost_dollars"] > 0
    server.bodies.clear()
    code, out, _ = leap(*command, "run_dir=again")
    assert code == 0
    assert server.bodies == []
    assert "0 requests" in out
    for name in ("metrics.jsonl", "round_001/corrections.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_a_constrained_model_also_ranks_actions_and_this_is_counted(leap, server, tmp_path):  # noqa: F811
    constrained = ["teacher=constrained" if argument == "teacher=local" else argument for argument in LLM]
    settings = [each.replace("teacher.", "teacher.inner.", 1) for each in at(server, price_in=2.0, price_out=8.0)]
    command = (*constrained, "teacher@teacher.inner=local", *settings, "teacher.reference=inner")
    code, out, _ = leap(*command, "run_dir=here")
    assert code == 0
    assert "about as many again to rank actions" in " ".join(out.split())
    results = results_of(tmp_path / "here")
    assert results
    assert {result.teacher_id for result in results} == {"constrained/scripted/trajectory"}
    ranked = [body for body in server.bodies if is_ranking(body)]
    assert len(ranked) == len(server.bodies) / 2
    assert read_metrics(tmp_path / "here")[1]["llm/correct/replies_count"] == len(server.bodies)
    config = OmegaConf.load(tmp_path / "here" / "config.yaml")
    assert (config.teacher.name, config.teacher.inner.name) == ("constrained", "local")
    server.bodies.clear()
    assert leap(*command, "run_dir=again")[0] == 0
    assert server.bodies == []
    assert leap(*constrained, "teacher.reference=inner", "run_dir=here")[0] != 0


def test_a_run_without_any_correction_reports_it_and_completes(leap, server, tmp_path, caplog):  # noqa: F811
    server.follow([answer("I would rather not.")])
    code, out, _ = leap(*LLM, *at(server), "run_dir=here")
    assert code == 0
    results = results_of(tmp_path / "here")
    assert results
    assert all(isinstance(result, CorrectionFailure) for result in results)
    assert f"{len(results)} of {len(results)} trajectories could not be corrected" in " ".join(out.split())
    assert read_metrics(tmp_path / "here")[1]["correct/corrections_count"] == 0
    rounds = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    assert [entry["n"] for entry in rounds] == [12, 12]
    assert (tmp_path / "here" / "report.html").exists()


def test_a_missing_key_is_found_before_anything_is_written(leap, server, tmp_path):  # noqa: F811
    code, _, err = leap(*LLM, *at(server, key_variable="NO_SUCH_KEY"), "run_dir=here")
    assert code == 1
    assert "Set it, or name another one with teacher.endpoint.key_variable." in err
    assert not (tmp_path / "here" / "config.yaml").exists()


def test_killed_during_corrections_a_run_resumes_without_repeating_answered_requests(server, tmp_path):
    answered, limit = 5, 2
    released = threading.Event()

    def script(body):
        if len(server.bodies) > answered:
            released.wait(60)
        return answer(corrections(body))

    def command(name):
        settings = at(server, concurrency=limit)
        return [sys.executable, "-m", "tests.support.toy_main", *LLM, *settings, f"run_dir={tmp_path / name}"]

    server.follow(script)
    process = subprocess.Popen(command("killed"), cwd=ROOT, stdout=subprocess.DEVNULL)
    while len(server.bodies) < answered + limit and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    released.set()
    first = [asked(body) for body in server.bodies]
    server.follow(teaching())
    subprocess.run(command("killed"), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    second = [asked(body) for body in server.bodies]
    assert second
    assert set(second).isdisjoint(first[:answered])
    assert len(set(second)) == len(second)
    server.follow(teaching())
    whole = {**os.environ, "LEAP_CACHE": str(tmp_path / "another")}
    subprocess.run(command("whole"), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=whole)
    assert len(server.bodies) == answered + len(second)
    for name in ("metrics.jsonl", "round_001/corrections.jsonl", "summary.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_demonstrations_annotated_by_command_are_cloned(leap, server, tmp_path, capsys):  # noqa: F811
    leap(*TOY, "run_dir=first")
    source = tmp_path / "first" / "round_001" / "trajectories.jsonl"
    server.follow([answer('{"reason": "It is marked."}')])
    endpoint = ["--endpoint", "local", f"base_url={server.url}", "model=scripted"]
    assert data.main(["annotate", str(source), "--to", "annotated.jsonl", *endpoint]) == 0
    assert "12 of 12 written: annotated.jsonl" in capsys.readouterr().out
    annotated = read_records(tmp_path / "annotated.jsonl").of(Trajectory)
    assert {step.decision.reason for trajectory in annotated for step in trajectory.steps} == {"It is marked."}
    code, _, _ = leap(*TOY, "run_dir=second", "demonstrations.source=annotated.jsonl")
    assert code == 0
    asked_once = len(server.bodies)
    assert data.main(["annotate", str(source), "--to", "again.jsonl", *endpoint]) == 0
    assert len(server.bodies) == asked_once


def test_facts_extracted_by_command_reach_the_teacher(leap, server, tmp_path, capsys):  # noqa: F811
    leap(*TOY, "run_dir=first")
    source = tmp_path / "first" / "round_001" / "trajectories.jsonl"
    server.follow([answer('{"facts": ["The prize is behind the 7th."], "hidden_names": ["the 7th"]}')])
    endpoint = ["--endpoint", "local", f"base_url={server.url}", "model=scripted"]
    assert data.main(["extract-facts", str(source), "--to", "facts.jsonl", *endpoint]) == 0
    assert len(read_records(tmp_path / "facts.jsonl").of(PrivilegedFacts)) == 12
    server.follow(teaching())
    code, _, _ = leap(*LLM, *at(server), "privilege.facts=facts.jsonl", "run_dir=second")
    assert code == 0
    assert server.bodies
    assert all("The prize is behind the 7th." in asked(body) for body in server.bodies)
    server.follow([answer("nothing")])
    assert data.main(["extract-facts", str(source), "--to", "none.jsonl", *endpoint, "send_seed=false"]) == 1
    assert "no usable answer" in capsys.readouterr().err
    assert not (tmp_path / "none.jsonl").exists()


@pytest.fixture(scope="module", params=["tiny", pytest.param("smollm2_135m", marks=pytest.mark.slow)])
def real_model(request):
    """The name of a model and the address of its server."""
    with chat_server(request.param) as url:
        yield request.param, url


@pytest.mark.parametrize(("name", "mode"), [*((name, "trajectory") for name in members("env")), ("alfworld", "step")])
def test_a_round_with_a_real_server(name, mode, leap, real_model, tmp_path):  # noqa: F811
    """A small model rarely answers in the required form; the run handles whatever it writes."""
    model, url = real_model
    sandbox = sandbox_settings(name)
    demonstrate(name, sandbox, tmp_path / "demonstrations.jsonl")
    code, out, err = leap(
        *(f"env={name}", *sandbox, "debug=default", "run_dir=here", "correct.max_score=1"),
        # Long prompts take a small machine long, so there is one trajectory to correct, a short one.
        *("demonstrations.source=demonstrations.jsonl", "rollouts.tasks=1", "env.max_steps_train=2"),
        *("teacher=local", f"teacher.mode={mode}", f"teacher.endpoint.base_url={url}"),
        *(f"teacher.endpoint.model={model}", "teacher.endpoint.max_tokens=48"),
    )
    assert (code, err) == (0, "")
    assert f"Corrections: {model} at 127.0.0.1" in out
    results = results_of(tmp_path / "here")
    assert len(results) == 1
    assert all(result.teacher_id == f"{model}/{mode}" for result in results)
    metrics = read_metrics(tmp_path / "here")[1]
    assert metrics["llm/correct/replies_count"] >= 1
    assert metrics["llm/correct/failures_count"] == 0
    assert metrics["correct/corrections_count"] + metrics["correct/failures_count"] == 1
    assert (tmp_path / "here" / "report.html").exists()


def demonstrate(name, settings, file):
    """Write a few successful demonstrations in the environment ``name`` with ``settings`` to ``file``."""
    environment = configured(f"env={name}", *settings).env.build()
    tasks = environment.tasks("train")[:6]
    expert = ExpertPolicy(environment)
    trajectories = rollout(
        environment, expert, tasks, seed=0, max_steps=20, batch=6, on_progress=lambda done, total: None
    )
    write_records(file, trajectories, {})
