"""The choice of an engine, and the errors if it does not work."""

import socket
import sys
import time

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxKind

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
