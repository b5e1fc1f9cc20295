"""A scripted server, and a cache folder for each test."""

import pytest

from tests.support.clients import KEY, KEY_VARIABLE
from tests.support.fault_server import fault_server


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
def server():
    with fault_server([]) as running:
        yield running
