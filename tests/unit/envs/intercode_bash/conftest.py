import json

import pytest

from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engines import open_engine
from leap_exp.envs.intercode_bash.sandbox import Limits
from tests.sandboxes import TREE, skip_without_sandboxes
from tests.small_rootfs import write_rootfs


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder for what sandboxes are made of, shared by the tests of a process."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def engine(data, monkeypatch):
    """Makes sandboxes of bubblewrap with the limits that a test names."""
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()
    return lambda *, base="host", resident=False, **limits: BubblewrapEngine(
        base=base, limits=Limits(**limits), resident=resident
    )


@pytest.fixture(scope="session")
def rootfs(data):
    """A small root file system, installed in the folder for data."""
    folder = data / "intercode" / "rootfs"
    write_rootfs(folder)
    return folder


@pytest.fixture(scope="session")
def docker_client():
    """Whatever Docker engine answers; images that tests make of file trees are removed in the end."""
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
    """Makes sandboxes of Docker with the limits that a test names, on the small root file system."""
    monkeypatch.setenv("LEAP_DATA", str(data))

    def make(**limits):
        return open_engine("docker", base="rootfs", limits=Limits(**limits))

    return make


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def any_engine(request):
    """Makes sandboxes of each kind in turn, with the limits that a test names."""
    return request.getfixturevalue("engine" if request.param == "bubblewrap" else "docker_engine")


@pytest.fixture
def sandbox(any_engine):
    """A sandbox of each kind in turn, with the small tree."""
    with any_engine().open(TREE) as machine:
        yield machine


@pytest.fixture
def folder(tmp_path):
    """Requests on one file system, in the authors' form."""
    for number in (1, 2, 3, 4):
        requests = [{"query": f"Read note {number}.", "gold": "cat /desk/note.txt"}] * number
        (tmp_path / f"nl2bash_fs_{number}.json").write_text(json.dumps(requests))
    entries = [
        {"path": "/desk/note.txt", "mode": "640", "type": "file", "text": "call\n", "mtime": "2023-05-25T12:00:00Z"},
        {"path": "/desk", "mode": "755", "type": "dir"},
        {"path": "/desk/raw.bin", "mode": "644", "type": "file", "base64": "AAH/"},
    ]
    (tmp_path / "fs_1.json").write_text(json.dumps(entries))
    return tmp_path
