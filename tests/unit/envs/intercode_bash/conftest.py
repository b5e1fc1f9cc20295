import pytest

from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits
from tests.sandboxes import TREE, skip_without_sandboxes


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder for what sandboxes are made of, shared by the tests of a process."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def engine(data, monkeypatch):
    """Makes sandboxes with the limits that a test names."""
    monkeypatch.setenv("LEAP_DATA", str(data))
    skip_without_sandboxes()
    return lambda **limits: BubblewrapEngine(base="host", limits=Limits(**limits))


@pytest.fixture
def sandbox(engine):
    """A sandbox with the small tree."""
    with engine().open(TREE) as machine:
        yield machine
