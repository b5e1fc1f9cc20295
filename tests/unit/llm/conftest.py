"""Clients of a scripted server, with a cache of their own and without real waiting."""

import pytest

from leap_exp.llm import ChatRequest, Message
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


@pytest.fixture
def ask():
    return lambda text="hi", **settings: ChatRequest(messages=(Message(role="user", text=text),), **settings)
