"""A scripted server with clients of it, and trajectories to correct."""

import pytest

from tests.fault_server import fault_server
from tests.unit.llm.clients import KEY, KEY_VARIABLE


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
def server():
    with fault_server([]) as running:
        yield running
