import json
import shutil

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits
from tests.sandboxes import TREE


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder for what sandboxes are made of, shared by the tests of a process."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def engine(data, monkeypatch):
    """Makes sandboxes with the limits that a test names."""
    monkeypatch.setenv("LEAP_DATA", str(data))
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")

    def make(*, resident=False, **limits):
        engine = BubblewrapEngine(base="host", limits=Limits(**limits), resident=resident)
        try:
            with engine.open(TREE):
                pass
        except EnvError as error:
            pytest.skip(f"bubblewrap may not be used here: {error}")
        return engine

    return make


@pytest.fixture
def sandbox(engine):
    """A sandbox with the small tree."""
    with engine().open(TREE) as machine:
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
