"""The environment for verifiers, with its own command lines and a scripted model behind a local server."""

import json
import signal
import sys
from importlib import import_module

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import View
from leap_exp.interfaces.sessions import SharedEnvironment
from leap_exp.stages.evaluate import draw_panel
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import OraclePolicy
from leap_exp.tokens.markup import MESSAGES_MARKUP
from leap_exp.tokens.renderer import PromptConfig, Renderer
from tests.plugins.conftest import require
from tests.support.fault_server import answer, error, fault_server
from tests.support.sandboxes import skip_without_sandboxes

require("verifiers", "leap_verifiers")

SETTINGS = {"alfworld": {}, "webshop": {}, "intercode_bash": {"sandbox": "bubblewrap"}}
SPLITS = {"alfworld": "valid_unseen", "webshop": "test", "intercode_bash": "test"}
TASKS = 4
COMMANDS = {"vf-eval": "verifiers.v1.cli.eval.main", "vf-validate": "verifiers.v1.cli.validate"}

each_environment = pytest.mark.parametrize("name", SETTINGS)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command of verifiers in this process; returns what it wrote to the file of this name."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(command, name, file, *arguments, place="env.taskset"):
        if name == "intercode_bash":
            skip_without_sandboxes()
        taskset = {
            "environment": name,
            "settings": json.dumps(SETTINGS[name]),
            "split": SPLITS[name],
            "panel-size": str(TASKS),
        }
        given = [word for key, value in taskset.items() for word in (f"--{place}.{key}", value)]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [command])
        import_module(COMMANDS[command]).main(["leap-verifiers", *given, "--no-rich", "-o", str(tmp_path), *arguments])
        (written,) = tmp_path.glob(f"*/{file}")
        return written.read_text()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def evaluate(run):
    """Runs ``vf-eval`` with a scripted model; returns the traces."""

    def evaluate(name, script, *arguments):
        with fault_server(script) as server:
            endpoint = ["--client.base-url", server.url, "--client.api-key-var", "NO_KEY", "--model", "scripted"]
            text = run("vf-eval", name, "traces.jsonl", "--no-push", *endpoint, *arguments)
        episodes = [json.loads(line) for line in text.splitlines()]
        return [trace for episode in episodes for trace in episode.get("traces", [episode])]

    return evaluate


def expert_runs(name):
    """Return what the oracle does on the panel, and the messages that a model sees then, by first message."""
    environment = SharedEnvironment.of(name, SETTINGS[name]).environment
    panel = draw_panel(environment.tasks(SPLITS[name]), split=SPLITS[name], size=TASKS, seed=0)
    policy = OraclePolicy(environment, Disclosure.P100)
    runs = rollout(
        environment, policy, panel.tasks, seed=0, max_steps=30, batch=1, on_progress=lambda done, total: None
    )
    renderer = Renderer(environment.prompts, MESSAGES_MARKUP, PromptConfig())
    shown = {}
    for trajectory in runs:
        last = len(trajectory.steps) - 1
        view = View(
            task=trajectory.task, history=trajectory.steps[:last], observation=trajectory.steps[last].observation
        )
        messages = list(renderer.messages(view, first_kept=1))
        shown[messages[1]["content"]] = (trajectory, messages)
    assert len(shown) == TASKS
    return shown


@each_environment
def test_the_oracles_answers_get_the_full_score_and_the_same_conversation(name, evaluate):
    shown = expert_runs(name)

    def script(body):
        trajectory, _ = shown[body["messages"][1]["content"]]
        decision = trajectory.steps[len(body["messages"]) // 2 - 1].decision
        return answer(f"REASON: {decision.reason}\nACTION: {decision.action}")

    traces = evaluate(name, script)
    assert len(traces) == TASKS
    for trace in traces:
        assert trace["ok"], trace["errors"]
        said = [node["message"] for node in trace["nodes"]]
        trajectory, messages = shown[said[1]["content"]]
        assert [message["content"] for message in said[: len(messages)]] == [m["content"] for m in messages]
        assert trace["rewards"]["exact_score"]["score"] == trajectory.score == 1.0
        steps = float(len(trajectory.steps))
        assert trace["metrics"] == {"success": 1.0, "steps": steps, "inadmissible_steps": 0.0}
        assert trace["task"]["key"] == trajectory.task.id


def test_bad_answers_cost_the_episode_only(evaluate):
    traces = evaluate("alfworld", [answer("I have no idea,\nnone at all.")], "--env.taskset.max-steps", "3")
    assert [trace["ok"] for trace in traces] == [True] * TASKS
    assert {trace["rewards"]["exact_score"]["score"] for trace in traces} == {0.0}
    expected = {"success": 0.0, "steps": 3.0, "inadmissible_steps": 3.0}
    assert [trace["metrics"] for trace in traces] == [expected] * TASKS


def test_an_answer_that_was_cut_off_is_not_carried_out(evaluate):
    cut = answer("REASON: quick\nACTION: click[buy", finish_reason="length")
    traces = evaluate("webshop", [cut], "--env.taskset.max-steps", "2")
    assert {trace["metrics"]["inadmissible_steps"] for trace in traces} == {2.0}


def test_a_server_that_fails_is_no_score(evaluate):
    traces = evaluate("alfworld", [error(400, "no")])
    assert [trace["ok"] for trace in traces] == [False] * TASKS
    assert {trace["rewards"].get("exact_score") for trace in traces} == {None}


@each_environment
def test_the_library_validates_the_tasks(name, run):
    arguments = ["--runtime.type", "subprocess"]
    summary = json.loads(run("vf-validate", name, "summary.json", *arguments, place="taskset"))
    assert summary["outcomes"]["valid"] == summary["total"] == TASKS
    assert summary["valid_rate"] == 1.0


def test_a_mistake_is_named(run, monkeypatch):
    monkeypatch.setitem(SETTINGS, "alfword", {})
    monkeypatch.setitem(SPLITS, "alfword", "train")
    with pytest.raises(ConfigError, match="'alfword': choose one of alfworld"):
        run("vf-validate", "alfword", "summary.json", place="taskset")
