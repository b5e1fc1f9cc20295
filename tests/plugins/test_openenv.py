"""The server and client for OpenEnv, with its own validation and a load test."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from tests.plugins.conftest import PLUGINS, require
from tests.support.sandboxes import skip_without_sandboxes

require("openenv", "leap_openenv")

from openenv.cli.__main__ import app  # noqa: E402

from leap_openenv import LeapAction, LeapEnv  # noqa: E402 - skipped above without them
from leap_openenv.environment import SETTINGS, LeapEnvironment  # noqa: E402
from leap_openenv.load import load, serving  # noqa: E402

PACKAGE = PLUGINS / "leap_openenv"
SESSIONS = 64


@pytest.fixture(scope="module")
def server():
    """The URL of a server."""
    with asyncio.Runner() as runner:
        serving_here = serving(SESSIONS)
        url, _ = runner.run(serving_here.__aenter__())
        yield url
        runner.run(serving_here.__aexit__(None, None, None))


@pytest.fixture
def play(server):
    """Runs a coroutine function with a client of the server."""

    def play(what):
        async def connected():
            async with LeapEnv(base_url=server, connect_timeout_s=60.0) as env:
                await what(env)

        asyncio.run(connected())

    return play


def validate(*arguments):
    """Run ``openenv validate``."""
    return CliRunner().invoke(app, ["validate", *arguments, "--json"])


def test_the_package_passes_the_static_validation():
    done = validate(str(PACKAGE), "--level", "static")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["verdict"] == "pass"


def test_a_running_server_passes_the_validation(server):
    done = validate("--url", server, "--timeout", "60")
    report = json.loads(done.stdout)
    assert [criterion for criterion in report["criteria"] if not criterion["passed"]] == []
    assert (done.exit_code, report["passed"], report["mode"]) == (0, True, "simulation")


def test_an_episode_passes_the_runtime_checks(server):
    # The command line builds a container for these; here they look at a server that runs already.
    from openenv.validation.graders import Subject
    from openenv.validation.graders.runtime import (
        ObservationSchemaGrader,
        RewardWellFormedGrader,
        StateContractGrader,
    )
    from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser
    from openenv.validation.runtime.collector import collect_runtime_evidence
    from openenv.validation.runtime.contracts import load_runtime_plan

    manifest = OpenEnvYamlParser().parse(PACKAGE)
    plan = load_runtime_plan(PACKAGE, manifest.execution)
    evidence = collect_runtime_evidence(server, plan, episode_timeout_s=60.0)
    assert evidence.failure_reason is None
    subject = Subject(
        root=PACKAGE, manifest=manifest, image_ref=None, running=None, outputs_dir=PACKAGE, runtime_evidence=evidence
    )
    results = [
        grader().run(subject) for grader in (RewardWellFormedGrader, ObservationSchemaGrader, StateContractGrader)
    ]
    assert [(result.check_id, result.evidence) for result in results if result.status.value != "pass"] == []
    assert len(evidence.exchanges) == 2 * (len(plan.actions) + 1)


def test_an_episode_of_a_client(play):
    async def episode(env):
        first = await env.reset(environment="webshop", split="test", index=3)
        assert first.observation.admissible_actions == ["search[<query>]"]
        assert first.observation.instruction in first.observation.text
        result = await env.step(LeapAction(text="search[red]"))
        while not result.done:
            actions = result.observation.admissible_actions
            result = await env.step(LeapAction(text="click[buy now]" if "click[buy now]" in actions else actions[-1]))
        state = await env.state()
        assert state.score == result.observation.score == result.reward
        assert (state.environment, state.task_id) == ("webshop", first.observation.task_id)
        again = await env.reset(environment="webshop", split="test", index=3)
        assert again.observation == first.observation
        assert (await env.state()).step_count == 0

    play(episode)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"environment": "alfword"}, "'alfword'"),
        ({"split": "test"}, "train, valid_seen, valid_unseen"),
        ({"index": 10**6}, "has no task 1000000"),
        ({"indx": 1}, "'indx'"),
    ],
)
def test_a_mistake_is_named_and_the_session_goes_on(options, words, play):
    async def mistaken(env):
        with pytest.raises(Exception, match=words):
            await env.reset(**options)
        assert (await env.reset()).observation.task_id.startswith("alfworld/")

    play(mistaken)


def test_the_order_of_calls_is_checked(play):
    async def out_of_order(env):
        with pytest.raises(Exception, match="call reset before step"):
            await env.step(LeapAction(text="look"))
        await env.reset(max_steps=1)
        assert (await env.step(LeapAction(text="look"))).done
        with pytest.raises(Exception, match="the episode is over"):
            await env.step(LeapAction(text="look"))

    play(out_of_order)


def test_settings_come_from_the_servers_environment(monkeypatch):
    from leap_openenv import environment

    monkeypatch.setenv(SETTINGS, json.dumps({"alfworld": {"household": "full"}}))
    environment._settings.cache_clear()
    assert "/full/" in LeapEnvironment().reset().task_id
    monkeypatch.setenv(SETTINGS, "games=official")
    environment._settings.cache_clear()
    with pytest.raises(Exception, match="is not JSON"):
        LeapEnvironment().reset()
    environment._settings.cache_clear()


def test_tasks_are_listed():
    session = LeapEnvironment()
    assert session.list_splits() == ["train", "valid_seen", "valid_unseen"]
    count = session.num_tasks("valid_seen")
    last = session.get_task("valid_seen", count - 1)
    assert session.get_task_range("valid_seen", -1) == [last | {"index": count - 1}]
    assert session.reset(split="valid_seen", index=count - 1).task_id == last["id"]


@pytest.mark.parametrize("name", ["alfworld", "webshop", "intercode_bash"])
def test_sessions_are_not_mixed_up(name, server):
    if name == "intercode_bash":
        skip_without_sandboxes()
    sessions = 8 if name == "intercode_bash" else SESSIONS
    figures = asyncio.run(load(name, "train", sessions=sessions, steps=5, url=server))
    assert figures["mixed_up_sessions"] == 0
    assert figures["different_transcripts"] == figures["sessions"] == sessions
    assert figures["steps"] > 2 * sessions
