"""The server and client for OpenEnv, with its own validation and a load test."""

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager

import pytest

from tests.plugins.conftest import PLUGINS, require
from tests.support.sandboxes import skip_without_sandboxes

require("openenv", "leap_openenv")

from leap_openenv import LeapAction, LeapEnv  # noqa: E402 - skipped above without them
from leap_openenv.environment import SETTINGS, LeapEnvironment  # noqa: E402
from leap_openenv.load import load, serving  # noqa: E402

PACKAGE = PLUGINS / "leap_openenv"


@asynccontextmanager
async def client():
    """A client of a server of its own."""
    async with serving(4) as (url, _), LeapEnv(base_url=url) as env:
        yield env


def test_the_package_passes_the_static_validation(program):
    command = [program("openenv"), "validate", str(PACKAGE), "--level", "static", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["verdict"] == "pass"


def test_a_running_server_passes_the_validation(program):
    async def validate():
        async with serving(4) as (url, _):
            command = [program("openenv"), "validate", "--url", url, "--json"]
            return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)

    done = asyncio.run(validate())
    report = json.loads(done.stdout)
    assert [criterion for criterion in report["criteria"] if not criterion["passed"]] == []
    assert (done.returncode, report["passed"], report["mode"]) == (0, True, "simulation")


def test_an_episode_passes_the_runtime_checks():
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

    async def collect():
        async with serving(4) as (url, _):
            return await asyncio.to_thread(collect_runtime_evidence, url, plan, episode_timeout_s=30.0)

    evidence = asyncio.run(collect())
    assert evidence.failure_reason is None
    subject = Subject(
        root=PACKAGE, manifest=manifest, image_ref=None, running=None, outputs_dir=PACKAGE, runtime_evidence=evidence
    )
    results = [
        grader().run(subject) for grader in (RewardWellFormedGrader, ObservationSchemaGrader, StateContractGrader)
    ]
    assert [(result.check_id, result.evidence) for result in results if result.status.value != "pass"] == []
    assert len(evidence.exchanges) == 2 * (len(plan.actions) + 1)


def test_an_episode_of_a_client():
    async def play():
        async with client() as env:
            first = await env.reset(environment="webshop", split="test", index=3)
            assert first.observation.admissible_actions == ["search[<query>]"]
            assert first.observation.instruction in first.observation.text
            page = await env.step(LeapAction(text="search[red]"))
            bought = await env.step(LeapAction(text=page.observation.admissible_actions[-1]))
            while not bought.done:
                actions = bought.observation.admissible_actions
                buy = "click[buy now]"
                bought = await env.step(LeapAction(text=buy if buy in actions else actions[-1]))
            state = await env.state()
            assert state.score == bought.observation.score == bought.reward
            assert (state.environment, state.task_id) == ("webshop", first.observation.task_id)
            again = await env.reset(environment="webshop", split="test", index=3)
            assert again.observation == first.observation
            assert (await env.state()).step_count == 0

    asyncio.run(play())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"environment": "alfword"}, "'alfword'"),
        ({"split": "test"}, "train, valid_seen, valid_unseen"),
        ({"index": 10**6}, "has no task 1000000"),
        ({"indx": 1}, "'indx'"),
    ],
)
def test_a_mistake_is_named_and_the_session_goes_on(options, words):
    async def play():
        async with client() as env:
            with pytest.raises(Exception, match=words):
                await env.reset(**options)
            assert (await env.reset()).observation.task_id.startswith("alfworld/")

    asyncio.run(play())


def test_the_order_of_calls_is_checked():
    async def play():
        async with client() as env:
            with pytest.raises(Exception, match="call reset before step"):
                await env.step(LeapAction(text="look"))
            await env.reset(max_steps=1)
            assert (await env.step(LeapAction(text="look"))).done
            with pytest.raises(Exception, match="the episode is over"):
                await env.step(LeapAction(text="look"))

    asyncio.run(play())


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
def test_sessions_are_not_mixed_up(name):
    if name == "intercode_bash":
        skip_without_sandboxes()
    sessions = 8 if name == "intercode_bash" else 64
    figures = asyncio.run(load(name, "train", sessions=sessions, steps=5))
    assert figures["mixed_up_sessions"] == 0
    assert figures["different_transcripts"] == figures["sessions"] == sessions
    assert figures["steps"] > 2 * sessions
