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

    def make(**limits):
        engine = BubblewrapEngine(base="host", limits=Limits(**limits))
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
