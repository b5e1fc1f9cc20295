"""The choice of an engine, and the errors if it does not work."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.types import StopReason
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxKind
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import ExpertPolicy
from tests.support.sandboxes import TREE, bash, output_of

NO_NAMESPACE = "bwrap: No permissions to create new namespace"
RUN = ("env=intercode_bash", "student=random", "rounds=0", "evaluation.tasks=2", "tracker=jsonl")
DOCKER_MODULES = ("docker_engine", "docker_commands")


def opened(kind, base=BaseKind.HOST):
    return open_engine(kind, base=base, limits=Limits())


@pytest.fixture
def no_docker(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


@pytest.fixture
def no_docker_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    for module in DOCKER_MODULES:
        monkeypatch.delitem(sys.modules, f"leap_exp.envs.intercode_bash.engine.{module}", raising=False)


def test_an_unknown_kind_of_sandbox_is_refused():
    with pytest.raises(ConfigError, match=r"env\.sandbox=podman.*auto, bubblewrap, docker"):
        InterCodeBashConfig(sandbox="podman")


def test_the_error_without_a_docker_engine_says_what_to_do(no_docker):
    with pytest.raises(EnvError, match=r"No Docker engine answers.*DOCKER_HOST.*env\.sandbox=bubblewrap"):
        opened(SandboxKind.DOCKER)


def test_the_error_without_the_docker_package_says_what_to_do(no_docker_package):
    with pytest.raises(EnvError, match=r"pip install 'leap-exp\[docker\]'.*env\.sandbox=bubblewrap"):
        opened(SandboxKind.DOCKER)


def test_connecting_to_a_silent_docker_engine_times_out(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(EnvError, match="No Docker engine answers"):
            opened(SandboxKind.DOCKER)
        assert time.monotonic() - started < 8


def test_auto_uses_bubblewrap_if_no_docker_engine_answers(engine, no_docker):
    engine()
    assert opened(SandboxKind.AUTO).name == "bubblewrap"


@pytest.mark.docker
def test_auto_uses_docker_if_an_engine_answers(docker_engine):
    docker_engine()
    assert opened(SandboxKind.AUTO, base=BaseKind.ROOTFS).name == "docker"


def test_the_error_of_auto_gives_both_reasons(no_docker, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvError, match=r"Neither Docker nor bubblewrap.*docker: .*bubblewrap: bwrap is not installed"):
        opened(SandboxKind.AUTO)


def test_the_error_for_a_missing_base_says_what_to_install(no_docker, engine, monkeypatch, tmp_path):
    engine()
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match="install intercode_rootfs"):
        opened(SandboxKind.AUTO, base=BaseKind.ROOTFS)


@pytest.fixture
def fake_bwrap(monkeypatch, tmp_path):
    """Puts a bubblewrap first on PATH that fails while the returned file exists, and counts its calls."""
    real = shutil.which("bwrap")
    if not real:
        pytest.skip("bubblewrap is not installed")
    folder, broken = tmp_path / "bin", tmp_path / "broken"
    folder.mkdir()
    program = folder / "bwrap"
    program.write_text(
        f'#!/bin/sh\necho >> {tmp_path}/calls\nif [ -e {broken} ]; then echo "{NO_NAMESPACE}" >&2; exit 1; fi\n'
        f'exec {real} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return broken


def calls(broken):
    return len((broken.parent / "calls").read_text().splitlines())


def test_a_bubblewrap_without_namespaces_is_found_when_the_engine_is_made_and_tried_once(engine, fake_bwrap):
    fake_bwrap.touch()
    for _ in range(2):
        with pytest.raises(EnvError, match=rf"{NO_NAMESPACE}.*needs root, or Linux 6\.6.*env\.sandbox=docker"):
            opened(SandboxKind.BUBBLEWRAP)
    assert calls(fake_bwrap) == 1


def test_a_working_bubblewrap_is_tried_once(engine, fake_bwrap):
    for _ in range(3):
        assert opened(SandboxKind.BUBBLEWRAP).name == "bubblewrap"
    assert calls(fake_bwrap) == 1


def test_auto_names_both_reasons_if_bubblewrap_has_no_namespaces(engine, fake_bwrap, no_docker):
    fake_bwrap.touch()
    with pytest.raises(EnvError, match=rf"docker: No Docker engine answers.*DOCKER_HOST.*bubblewrap: .*{NO_NAMESPACE}"):
        opened(SandboxKind.AUTO)


@pytest.mark.docker
def test_auto_falls_back_to_docker_if_bubblewrap_has_no_namespaces(docker_engine, fake_bwrap):
    docker_engine()
    fake_bwrap.touch()
    assert opened(SandboxKind.AUTO, base=BaseKind.ROOTFS).name == "docker"


def test_an_error_of_bubblewrap_in_mid_episode_is_not_the_output_of_a_command(engine, fake_bwrap):
    with engine().open(TREE) as machine:
        assert output_of(machine, "cat /desk/note.txt") == "call back\n"
        fake_bwrap.touch()
        with pytest.raises(EnvError, match=NO_NAMESPACE):
            bash(machine, "cat /desk/note.txt")
        fake_bwrap.unlink()
        assert output_of(machine, f"echo '{NO_NAMESPACE}'; exit 1") == f"{NO_NAMESPACE}\n"


def test_an_episode_in_which_bubblewrap_fails_is_unscored(engine, fake_bwrap):
    environment = InterCodeBashEnvironment(InterCodeBashConfig(sandbox="bubblewrap"))
    tasks = environment.tasks("train")[:2]

    class Breaking(ExpertPolicy):
        """Breaks bubblewrap in the middle of the second episode."""

        def act(self, views, *, seed):
            if views[0].task == tasks[1] and views[0].history:
                fake_bwrap.touch()
            return super().act(views, seed=seed)

    policy = Breaking(environment)
    first, second = rollout(
        environment, policy, tasks, seed=0, max_steps=10, batch=1, on_progress=lambda done, total: None
    )
    assert first.score is not None
    assert (second.score, second.stop) == (None, StopReason.INFRA_ERROR)
    assert NO_NAMESPACE in second.error
    assert not any(NO_NAMESPACE in step.observation.text for step in second.steps)


def test_a_program_that_cannot_be_run_gives_the_message_of_docker(engine):
    with engine().open(TREE) as machine:
        result = machine.run(["/desk/note.txt"], workdir="/")
        assert result.exit_code == 126
        assert b'exec: "/desk/note.txt": permission denied: unknown' in result.output
        result = machine.run(["ls"], workdir="/desk/note.txt")
        assert (result.exit_code, b"not a directory" in result.output) == (126, True)
        forged = "bwrap: execvp ls: No such file or directory"
        assert output_of(machine, f"echo '{forged}'; exit 1") == f"{forged}\n"


@pytest.mark.parametrize(
    ("sandbox", "complaint"),
    [
        ("docker", "No Docker engine answers"),
        ("bubblewrap", NO_NAMESPACE),
        ("auto", "Neither Docker nor bubblewrap can make sandboxes here"),
    ],
)
def test_a_machine_without_sandboxes_is_found_when_the_run_is_built(
    sandbox, complaint, engine, fake_bwrap, no_docker, tmp_path
):
    fake_bwrap.touch()
    command = [sys.executable, "-m", "leap_exp", *RUN, f"env.sandbox={sandbox}", "run_dir=run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr
    assert not (tmp_path / "run" / "config.yaml").exists()
