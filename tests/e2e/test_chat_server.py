"""The client with a real server."""

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.llm import ChatClient, ChatReply, ChatRequest, Endpoint, Message
from tests.support.chat_server import chat_server


@pytest.fixture(scope="module")
def url():
    with chat_server("tiny") as url:
        yield url


def test_a_real_server_answers_counts_its_tokens_and_gets_each_request_once(url, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path))
    requests = [
        ChatRequest(
            messages=(Message(role="system", text="Answer in JSON."), Message(role="user", text=f"Say {index}.")),
            max_tokens=8,
            schema={"type": "object"},
        )
        for index in range(6)
    ]
    client = ChatClient(Endpoint(base_url=url, model="tiny"), place="teacher.endpoint")
    replies = client.complete(requests)
    assert all(isinstance(reply, ChatReply) and 0 < reply.tokens_out <= 8 for reply in replies)
    assert [reply.tokens_in for reply in replies] == [replies[0].tokens_in] * 6
    again = client.complete(requests)
    assert [reply.text for reply in again] == [reply.text for reply in replies]
    assert client.take_usage()["cache_hits_count"] == 6


def test_a_model_that_the_server_does_not_have_is_named(url, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path))
    client = ChatClient(Endpoint(base_url=url, model="gigantic"), place="teacher.endpoint")
    with pytest.raises(ProviderError, match="gigantic"):
        client.complete([ChatRequest(messages=(Message(role="user", text="hi"),))])
