"""The student that acts through vLLM: as the same student in this process, with the adapter that it was given."""

import math
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Briefing, Correction, DecisionFailure, PrivilegedFacts, views
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.llm import Endpoint
from leap_exp.students.config import AdapterConfig, VllmStudentConfig
from leap_exp.students.engines import vllm_server as serving
from leap_exp.students.engines.vllm_server import Serving, VllmServer
from leap_exp.teachers.constrained import ConstrainedTeacher
from leap_exp.teachers.self_teacher import SelfTeacher, Snapshot
from leap_exp.tokens.engine import Prompt, Sampling
from tests.support.records import trajectory
from tests.support.toy import ToyEnvironment
from tests.support.vllm_server import RequestError, vllm_server

ROOT = Path(__file__).parents[3]
VIEWS = [views(trajectory("look", "go to desk 1", name=str(index)))[index % 2] for index in range(4)]


class Household(ToyEnvironment):
    name = "alfworld"
    prompts = PROMPTS


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    with vllm_server("tiny") as running:
        yield running


def config(url: str, **settings: object) -> VllmStudentConfig:
    settings = {
        "model": "tiny",
        "dtype": "float32",
        "device": "cpu",
        "max_new_tokens": 12,
        "serve": False,
        "lora": AdapterConfig(r=4),
        **settings,
    }
    return VllmStudentConfig(endpoint=Endpoint(base_url=url, model="tiny"), **settings)


def adapter(student, folder: Path, *, seed: int) -> Path:
    """An adapter that changes what the model says."""
    model = student.trainable_model()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator)
    model.save_pretrained(folder)
    return folder


def loads(server) -> list[dict]:
    """What was loaded, apart from the probe of each student that is built."""
    return [body for body in server.called("/v1/load_lora_adapter") if "probe" not in body["lora_name"]]


@pytest.mark.parametrize("form", [{"format": "plain", "reasons": False}, {"format": "chat", "reasons": True}])
def test_it_decides_as_the_same_student_in_this_process_with_every_adapter(server, tmp_path, form):
    student = config(server.url, **form).build(Household())
    said = []
    for seed in (None, 1, 2):
        if seed is not None:
            student = student.load(adapter(student, tmp_path / str(seed), seed=seed), policy_id=f"tiny/{seed}")
        decisions = student.act(VIEWS, seed=0)
        assert decisions == student.local.act(VIEWS, seed=0)
        said.append(tuple(decisions))
    assert len(set(said)) == 3
    prompts = {tuple(body["prompt"]) for body in server.called("/v1/completions")}
    assert prompts == {tuple(student.codec.prompt_ids(view)) for view in VIEWS}


@pytest.mark.parametrize("reasons", [False, True])
def test_it_chooses_among_the_admissible_actions_as_in_this_process(server, tmp_path, reasons):
    student = config(server.url, decoding="admissible", reasons=reasons).build(Household())
    for seed in (None, 1, 2):
        if seed is not None:
            student = student.load(adapter(student, tmp_path / str(seed), seed=seed), policy_id=f"tiny/{seed}")
        decisions = student.act(VIEWS, seed=0)
        assert decisions == student.local.act(VIEWS, seed=0)
        for view, decision in zip(VIEWS, decisions, strict=True):
            assert decision.action in view.observation.admissible_actions
    asked = [body for body in server.called("/v1/completions") if "allowed_token_ids" in body]
    assert all(body["max_tokens"] == 1 < len(body["allowed_token_ids"]) for body in asked)
    # Where all actions go on alike, nothing is asked.
    forks = sum(len(body["allowed_token_ids"]) - 1 for body in asked)
    assert 0 < len(asked) <= forks


def test_actions_are_drawn_with_their_probabilities(server):
    student = config(server.url, decoding="admissible", reasons=False).build(Household())
    view = VIEWS[0]
    actions = view.observation.admissible_actions
    tree = student.codec.action_tree(actions)
    count = 150
    prompts = [Prompt(ids=student.codec.prompt_ids(view), conversation=str(seed), seed=seed) for seed in range(count)]
    student.act(VIEWS[:1], seed=0)
    drawn = student._acting.choose(prompts, [tree] * count, sampling=Sampling(temperature=1.0))
    assert student._acting.choose(prompts[5:7], [tree] * 2, sampling=Sampling(temperature=1.0)) == drawn[5:7]
    (logprobs,) = student.action_logprobs([view], [actions], reasons=[""])
    for action in actions:
        share, probability = drawn.count(student.codec.action_ids(action)) / count, math.exp(logprobs[action])
        assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / count) + 1 / count
    likeliest = student.codec.action_ids(max(actions, key=logprobs.__getitem__))
    greedy = student._acting.choose(prompts[:2], [tree] * 2)
    assert student._acting.choose(prompts[:2], [tree] * 2, sampling=Sampling(temperature=1.0, top_k=1)) == greedy
    assert likeliest in drawn


def test_nothing_is_left_to_the_settings_in_the_model_s_files(server):
    student = config(server.url).build(Household())
    prompts = [Prompt(ids=student.codec.prompt_ids(view), conversation="", seed=7) for view in VIEWS[:2]]
    how = {"stop_ids": student.codec.stop_ids, "max_new_tokens": 4}
    student.act(VIEWS[:1], seed=0)
    server.calls.clear()
    student._acting.generate(prompts, sampling=Sampling(temperature=0.5, top_p=0.9), **how)
    student._acting.generate(prompts[:1], **how)
    first, second, greedy = server.called("/v1/completions")
    assert (first["temperature"], first["top_p"], first["top_k"], first["repetition_penalty"]) == (0.5, 0.9, 0, 1.0)
    assert greedy["temperature"] == 0.0
    # The seed varies with the number of tokens before.
    assert len(first["prompt"]) != len(second["prompt"])
    assert first["seed"] != second["seed"]
    with pytest.raises(ConfigError, match=r"student\.endpoint\.temperature=0\.7 has no effect .* student\.temperature"):
        hot = Endpoint(base_url=server.url, model="tiny", temperature=0.7)
        replace(config(server.url), endpoint=hot)
    with pytest.raises(ConfigError, match=r"student\.temperature=2\.5 is more than vLLM takes: at most 2"):
        VllmStudentConfig(temperature=2.5)


def fail_once(server, monkeypatch, *, at: int, failure: RequestError) -> None:
    """Let the completion number ``at`` fail."""
    complete = server._complete

    def failing(body):
        if len(server.called("/v1/completions")) == at:
            raise failure
        return complete(body)

    monkeypatch.setattr(server, "_complete", failing)


@pytest.mark.parametrize("at", [2, 6])
def test_a_request_that_fails_costs_one_decision(server, monkeypatch, at):
    """The first four requests are for reasons, those after them for actions."""
    student = config(server.url, decoding="admissible", reasons=True).build(Household())
    fail_once(server, monkeypatch, at=at, failure=RequestError(400, "no"))
    decisions = student.act(VIEWS, seed=0)
    failed = [decision for decision in decisions if isinstance(decision, DecisionFailure)]
    assert ["400: no" in failure.error for failure in failed] == [True]
    expected = student.local.act(VIEWS, seed=0)
    for decision, other in zip(decisions, expected, strict=True):
        assert decision == other or decision in failed


def test_a_server_that_ignores_the_restriction_is_named(server, monkeypatch):
    write = server._write
    monkeypatch.setattr(server, "_write", lambda *given: write(*given[:-1], {**given[-1], "allowed_token_ids": None}))
    (decision,) = config(server.url, decoding="admissible").build(Household()).act(VIEWS[:1], seed=0)
    assert "none is in allowed_token_ids" in decision.error


def test_an_adapter_that_the_server_has_lost_is_loaded_again(server, tmp_path, caplog):
    student = config(server.url).build(Household())
    student = student.load(adapter(student, tmp_path / "adapter", seed=1), policy_id="tiny/1")
    student.act(VIEWS[:1], seed=0)
    del server._models[next(iter(server.adapters))]
    server.adapters.clear()
    assert student.act(VIEWS, seed=0) == student.local.act(VIEWS, seed=0)
    assert "has lost the adapter" in caplog.text


def test_the_last_adapter_is_unloaded_when_the_run_is_over(server, tmp_path):
    student = config(server.url).build(Household())
    folders = [adapter(student, tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    other = config(server.url).build(Household()).load(folders[1], policy_id="tiny/2")
    other.act(VIEWS[:1], seed=0)
    student.load(folders[0], policy_id="tiny/1").act(VIEWS[:1], seed=0)
    student.load(folders[1], policy_id="tiny/2").act(VIEWS[:1], seed=0)
    assert list(server.adapters.values()) == [str(folders[1])]
    del student
    # The other run loaded it.
    assert list(server.adapters.values()) == [str(folders[1])]
    del other
    assert not server.adapters


def test_an_adapter_is_loaded_when_it_is_to_act_and_the_one_before_let_go(server, tmp_path):
    base = config(server.url).build(Household())
    folders = [adapter(base, tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    rounds = [base.load(folder, policy_id=f"tiny/{index}") for index, folder in enumerate(folders)]
    assert not server.adapters
    for student, folder in zip(rounds, folders, strict=True):
        student.act(VIEWS, seed=0)
        student.act(VIEWS[:1], seed=0)
        assert list(server.adapters.values()) == [str(folder)]
    assert len(loads(server)) == 2
    assert len(server.called("/v1/unload_lora_adapter")) == 1
    again = config(server.url).build(Household()).load(folders[1], policy_id="tiny/1")
    again.act(VIEWS, seed=1)
    assert len(loads(server)) == 2


@pytest.mark.parametrize("snapshot", Snapshot)
def test_it_is_its_own_teacher_in_this_process(server, tmp_path, snapshot):
    student = config(server.url).build(Household())
    of_server, of_process = (SelfTeacher(snapshot=snapshot, decay=0.5) for _ in range(2))
    for index in (0, 1):
        student = student.load(adapter(student, tmp_path / str(index), seed=index), policy_id=f"tiny/{index}")
        of_server = of_server.for_student(student, round_index=index)
        of_process = of_process.for_student(student.local, round_index=index)
    walks = [trajectory("look", "go to desk 1")]
    briefings = [Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="0", text="mug 1: on desk 1"))]
    assert of_server.correct(walks, briefings) == of_process.correct(walks, briefings)
    assert not server.called("/v1/completions")
    constrained = ConstrainedTeacher(of_server, beta=1.0, by_student=True).for_student(student, round_index=0)
    assert isinstance(constrained.correct(walks, briefings)[0], Correction)


def test_answers_are_cached_and_counted(server):
    student = config(server.url).build(Household())
    first = student.act(VIEWS, seed=0)
    asked = len(server.called("/v1/completions"))
    assert student.usage()["tokens_in_count"] == sum(len(student.codec.prompt_ids(view)) for view in VIEWS)
    assert config(server.url).build(Household()).act(VIEWS, seed=0) == first
    assert len(server.called("/v1/completions")) == asked == len(VIEWS)


def test_an_adapter_to_begin_with_acts_from_the_start(server, tmp_path):
    student = config(server.url).build(Household())
    folder = adapter(student, tmp_path / "adapter", seed=1)
    begun = config(server.url, adapter=str(folder)).build(Household())
    assert begun.act(VIEWS, seed=0) == student.load(folder, policy_id="tiny/1").act(VIEWS, seed=0)
    with pytest.raises(ConfigError, match=r"student\.adapter=.*nowhere is not a folder with a LoRA adapter"):
        config(server.url, adapter=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("how", "answer"), [({"takes_adapters": False}, "404: Not Found"), ({"rank": None}, "500: .*LoRA is not enabled")]
)
def test_a_server_that_cannot_load_adapters_is_found_before_anything_is_trained(how, answer):
    with vllm_server("tiny", **how) as closed:
        with pytest.raises(
            ProviderError, match=rf"(?s)cannot load adapters of rank 4:.*{answer}.*VLLM_ALLOW_RUNTIME_LORA"
        ):
            config(closed.url).build(Household())
        assert not closed.called("/v1/completions")


def test_an_adapter_that_the_server_has_without_listing_it_counts_as_loaded(tmp_path):
    with vllm_server("tiny", lists_adapters=False) as server:
        student = config(server.url).build(Household())
        folder = adapter(student, tmp_path / "adapter", seed=1)
        first = student.load(folder, policy_id="tiny/1").act(VIEWS, seed=0)
        # A resumed run is another client of the same server.
        resumed = config(server.url).build(Household()).load(folder, policy_id="tiny/1")
        assert resumed.act(VIEWS, seed=0) == first
        assert len(server.adapters) == 1


def test_a_server_for_lower_ranks_is_refused_before_anything_is_trained(tmp_path):
    with vllm_server("tiny", rank=2) as server:
        with pytest.raises(ProviderError, match=r"(?s)adapters of rank 4.*500: .*max_lora_rank 2\..*--max-lora-rank"):
            config(server.url).build(Household())
        assert not server.called("/v1/completions")


def test_an_adapter_that_the_server_refuses_ends_the_run_with_its_words(tmp_path):
    with vllm_server("tiny", rank=8) as server:
        student = config(server.url, lora=AdapterConfig(r=8)).build(Household())
        large = adapter(config(server.url).build(Household()), tmp_path / "adapter", seed=1)
        settings = large / "adapter_config.json"
        settings.write_text(settings.read_text().replace('"r": 4', '"r": 64'))
        with pytest.raises(ProviderError, match=r"(?s)adapter in .* could not be loaded.*max_lora_rank 8.*--max-lora"):
            student.load(large, policy_id="tiny/1").act(VIEWS, seed=0)


def test_a_server_that_reads_less_than_the_student_is_refused_before_anything_is_trained():
    with vllm_server("tiny", length=2048) as server:
        with pytest.raises(ProviderError, match=r"at most 2048 tokens \(max_model_len\).*student\.context_length=4096"):
            config(server.url).build(Household())
        assert config(server.url, context_length=2048).build(Household()).act(VIEWS, seed=0)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_where_no_server_answers_the_command_that_starts_one_is_shown(monkeypatch, tmp_path):
    url = f"http://127.0.0.1:{free_port()}/v1"
    command = r"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve tiny .*--enable-lora --max-lora-rank 8"
    with pytest.raises(ProviderError, match=f"leap_exp may not start one there; start one by hand: {command}"):
        config(url).build(Household())
    # The command is also looked for beside the program.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderError, match=r"the command vllm is not installed: pip install 'leap-exp\[vllm\]', or"):
        config(url, serve=True).build(Household())


@pytest.fixture
def vllm_command(tmp_path, monkeypatch):
    """A command ``vllm`` that is first in the path."""
    command = tmp_path / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec env PYTHONPATH="{ROOT}/src:{ROOT}" {sys.executable} -m tests.support.vllm_server "$@"\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    return command


ACT = """
import sys
from tests.unit.students.test_vllm import VIEWS, Household, config
student = config(sys.argv[1], serve=True).build(Household())
print(student.act(VIEWS, seed=0)[0].action, flush=True)
if sys.argv[2] == "stay":
    import time
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL])
def test_a_server_is_started_and_ends_with_the_process_even_if_that_is_killed(vllm_command, end):
    url = f"http://127.0.0.1:{free_port()}/v1"
    command = [sys.executable, "-c", ACT, url, "leave" if end is None else "stay"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip()
    if end is not None:
        process.send_signal(end)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while is_answering(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_answering(url)


def test_a_server_that_was_started_here_and_dies_is_started_again(vllm_command, tmp_path, monkeypatch, caplog):
    """It dies while a batch is in flight, and has the adapter again before the rest of the batch is asked."""
    monkeypatch.setenv("TEST_DIES_ONCE", str(tmp_path / "died"))
    student = config(f"http://127.0.0.1:{free_port()}/v1", serve=True).build(Household())
    trained = student.load(adapter(student, tmp_path / "adapter", seed=1), policy_id="tiny/1")
    try:
        assert trained.act(VIEWS, seed=0) == trained.local.act(VIEWS, seed=0)
        assert (tmp_path / "died").exists()
        assert "exit status 9" in caplog.text
        assert "RuntimeError: Worker failed" in caplog.text
        assert trained.usage()["failures_count"] == 0
    finally:
        serving.end_servers()


def test_a_server_that_dies_again_and_again_ends_the_run_with_its_error(vllm_command, monkeypatch):
    monkeypatch.setenv("TEST_DIES", "1")
    monkeypatch.setattr(serving, "_MAX_RESTARTS", 1)
    student = config(f"http://127.0.0.1:{free_port()}/v1", serve=True).build(Household())
    with pytest.raises(
        ProviderError, match=r"ended 2 times\..* status 9 .*: RuntimeError: Worker failed .*out of memory"
    ):
        student.act(VIEWS, seed=0)


def test_a_server_that_never_answers_is_given_up(vllm_command, monkeypatch):
    vllm_command.write_text("#!/bin/sh\necho loading\nexec sleep 600\n")
    monkeypatch.setattr(serving, "START_SECONDS", 1.0)
    student = config(f"http://127.0.0.1:{free_port()}/v1", serve=True).build(Household())
    with pytest.raises(ProviderError, match=r"(?s)did not answer within 1 s .*loading"):
        student.act(VIEWS, seed=0)
    assert not serving._started


@pytest.fixture
def asleep(server):
    """A server as if it had been started here on an accelerator, with what stands for its process, and it sleeps."""
    needs = Serving(command=["vllm"], may_start=False, rank=4, context_length=64, sleeps=True)
    vllm = VllmServer(Endpoint(base_url=server.url, model="tiny"), needs)
    process = subprocess.Popen(["sleep", "60"])
    serving._started[server.url] = serving._Started(
        command=["vllm"], process=process, log=Path("/dev/null"), log_start=0
    )
    vllm.provide("tiny", None)
    yield vllm, process
    serving.end_servers()
    process.kill()
    process.wait()


def test_a_server_that_was_started_here_sleeps_until_it_is_needed(server, asleep):
    vllm, process = asleep
    vllm.sleep()
    vllm.sleep()
    assert server.is_asleep
    assert len(server.called("/sleep?level=1")) == 1
    vllm.provide("tiny", None)
    assert not server.is_asleep
    vllm.sleep()
    vllm.require()
    assert not server.is_asleep
    assert process.poll() is None


@pytest.mark.parametrize("path", ["/sleep?level=1", "/wake_up"])
def test_a_server_that_does_not_fall_asleep_or_wake_up_is_ended(server, asleep, path, caplog):
    vllm, process = asleep
    server.rejects.add(path)
    vllm.sleep()
    vllm.provide("tiny", None)
    assert process.poll() is not None
    assert server.url not in serving._started
    assert "does not" in caplog.text


def test_a_server_of_somebody_else_does_not_sleep_while_the_student_is_trained(server):
    student = config(server.url).build(Household())
    student.act(VIEWS[:1], seed=0)
    student.trainable_model()
    assert not server.called("/sleep?level=1")


def test_the_version_of_vllm_is_part_of_the_provenance(server, vllm_command, tmp_path, monkeypatch):
    assert config(server.url).provenance()["vllm"] == "0.32.0"
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    assert config(nowhere).provenance()["vllm"] is None
    python = vllm_command.with_name("python")
    python.write_text("#!/bin/sh\necho 0.31.0+cpu\n")
    python.chmod(0o755)
    assert config(nowhere).provenance()["vllm"] == "0.31.0+cpu"


def test_more_options_come_last_in_the_command(monkeypatch):
    own = config(f"http://127.0.0.1:{free_port()}/v1", serve_args=["--enforce-eager", "--max-model-len", "9000"])
    with pytest.raises(ProviderError, match=r"--max-model-len 4096 .*--enforce-eager --max-model-len 9000"):
        own.build(Household())


def test_a_server_with_other_settings_is_replaced_in_the_next_run_of_a_sweep(vllm_command):
    url = f"http://127.0.0.1:{free_port()}/v1"
    try:
        config(url, serve=True).build(Household()).act(VIEWS, seed=0)
        config(url, serve=True).build(Household()).act(VIEWS, seed=1)
        first = serving._started[url]
        assert first.process.poll() is None
        config(url, serve=True, lora=AdapterConfig(r=64)).build(Household()).act(VIEWS, seed=2)
        assert first.process.poll() is not None
        assert "64" in serving._started[url].command
    finally:
        serving.end_servers()


def is_answering(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) == 0


def test_a_server_that_cannot_start_is_quoted(vllm_command):
    vllm_command.write_text("#!/bin/sh\necho out of memory\nexit 3\n")
    student = config(f"http://127.0.0.1:{free_port()}/v1", serve=True).build(Household())
    with pytest.raises(ProviderError, match=r"(?s)exit status 3 .*out of memory"):
        student.act(VIEWS, seed=0)


def test_the_server_stops_at_every_end_that_the_model_knows(server):
    agent = config(server.url).build(Household())
    agent.act(VIEWS[:1], seed=0)
    (body,) = server.called("/v1/completions")
    assert set(body["stop_token_ids"]) == agent.codec.stop_ids >= {agent.tokenizer.eos_token_id}
