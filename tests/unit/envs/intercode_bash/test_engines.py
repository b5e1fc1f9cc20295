"""Which engine is taken, and what is said where there is none."""

import socket
import sys
import time

import pytest

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.envs.intercode_bash.engines import open_engine
from leap_exp.envs.intercode_bash.sandbox import Limits

DOCKER_MODULES = ("docker_engine", "docker_images", "docker_commands")


def opened(name, base="host"):
    return open_engine(name, base=base, limits=Limits())


@pytest.fixture
def no_docker(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


@pytest.fixture
def no_docker_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    for module in DOCKER_MODULES:
        monkeypatch.delitem(sys.modules, f"leap_exp.envs.intercode_bash.{module}", raising=False)


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"'podman'.*auto, bubblewrap, docker"):
        opened("podman")


def test_docker_without_an_engine_says_how_to_get_one(no_docker):
    with pytest.raises(EnvError, match=r"No Docker engine answers.*DOCKER_HOST.*env\.sandbox=bubblewrap"):
        opened("docker")


def test_docker_without_its_package_says_how_to_get_it(no_docker_package):
    with pytest.raises(EnvError, match=r"pip install 'leap-exp\[docker\]'.*env\.sandbox=bubblewrap"):
        opened("docker")


def test_an_engine_that_does_not_answer_is_soon_given_up(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(EnvError, match="No Docker engine answers"):
            opened("docker")
        assert time.monotonic() - began < 8


def test_auto_takes_bubblewrap_where_no_docker_engine_answers(engine, no_docker):
    engine()
    assert opened("auto").name == "bubblewrap"


@pytest.mark.docker
def test_auto_takes_docker_where_an_engine_answers(docker_engine):
    docker_engine()
    assert opened("auto", base="rootfs").name == "docker"


def test_auto_with_neither_says_why_of_both(no_docker, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvError, match=r"nothing to make sandboxes with.*docker: .*bubblewrap: bwrap is not installed"):
        opened("auto")


def test_a_base_that_is_not_installed_says_how_to_get_it(no_docker, engine, monkeypatch, tmp_path):
    engine()
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    with pytest.raises(DataError, match="install intercode_rootfs"):
        opened("auto", base="rootfs")
