import json

import pytest

from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxKind
from tests.support.sandboxes import TREE, skip_without_sandboxes
from tests.support.small_rootfs import write_rootfs


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder for the sandboxes, shared by the tests of a process."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def engine(data, monkeypatch):
    """Returns a function that makes a bubblewrap engine with the given limits."""
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()
    return lambda *, base=BaseKind.HOST, resident=False, **limits: BubblewrapEngine(
        base=base, limits=Limits(**limits), resident=resident
    )


@pytest.fixture(scope="session")
def rootfs(data):
    """A small root file system, installed in the data folder."""
    folder = data / "intercode" / "rootfs"
    write_rootfs(folder)
    return folder


@pytest.fixture(scope="session")
def docker_client():
    """A client of the Docker engine; images that tests make are removed at the end."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env(timeout=10)
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    names = ("leap-exp-intercode-tree", "leap-exp-intercode-rootfs")
    before = {image.id for name in names for image in client.images.list(name)}
    yield client
    for name in names:
        for image in client.images.list(name):
            if image.id not in before:
                client.images.remove(image.id, force=True)
    client.close()


@pytest.fixture
def docker_engine(data, rootfs, docker_client, monkeypatch):
    """Returns a function that makes a Docker engine with the given limits, on the small root file system."""
    monkeypatch.setenv("LEAP_DATA", str(data))

    def make(**limits):
        return open_engine(SandboxKind.DOCKER, base=BaseKind.ROOTFS, limits=Limits(**limits))

    return make


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def any_engine(request):
    """Returns a function that makes an engine of each kind in turn, with the given limits."""
    return request.getfixturevalue("engine" if request.param == "bubblewrap" else "docker_engine")


@pytest.fixture
def sandbox(any_engine):
    """A sandbox of each kind in turn, with the small file tree."""
    with any_engine().open(TREE) as machine:
        yield machine


@pytest.fixture
def folder(tmp_path):
    """Queries and one file system, in the authors' format."""
    for number in (1, 2, 3, 4):
        queries = [{"query": f"Read note {number}.", "gold": "cat /desk/note.txt"}] * number
        (tmp_path / f"nl2bash_fs_{number}.json").write_text(json.dumps(queries))
    entries = [
        {"path": "/desk/note.txt", "mode": "640", "type": "file", "text": "call\n", "mtime": "2023-05-25T12:00:00Z"},
        {"path": "/desk", "mode": "755", "type": "dir"},
        {"path": "/desk/raw.bin", "mode": "644", "type": "file", "base64": "AAH/"},
    ]
    (tmp_path / "fs_1.json").write_text(json.dumps(entries))
    return tmp_path
