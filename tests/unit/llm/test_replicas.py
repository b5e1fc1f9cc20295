"""Several servers: conversations keep theirs, and what one does not answer another one does, once."""

import threading
from collections import Counter

import pytest

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.llm import ChatClient, ChatFailure, ChatReply, ChatRequest, Endpoint, Message
from leap_exp.llm.replicas import FAILURES_UNTIL_DOWN, FIRST_PAUSE_SECONDS, MORE_REQUESTS, Replicas
from leap_exp.llm.server import Server, TransientError, UnknownModelError
from tests.support.clients import Waits
from tests.support.fault_server import NO_MODEL, WRONG_KEY, answer, fault_server


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))


def ask(text, conversation=""):
    return ChatRequest(messages=(Message(role="user", text=text),), conversation=conversation)


def endpoint_of(*urls, **settings):
    return Endpoint(base_url=urls[0], base_urls=list(urls), model="m", price_in=1.0, price_out=1.0, **settings)


class Fake(Server):
    """A server that answers as told, without a connection."""

    def __init__(self, name):
        super().__init__(Endpoint(base_url=f"http://{name}/v1", model="m"))
        self.error = None
        self.asked = []
        self.hold = None

    def ask(self, request, body):
        self.asked.append(request.conversation)
        if self.hold is not None:
            self.hold.acquire()
        if self.error:
            raise self.error
        return ChatReply(
            text=self.name, finish_reason="stop", refusal="", tokens_in=1, tokens_out=1, latency_seconds=0.0
        )


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def servers():
    return [Fake("a"), Fake("b"), Fake("c")]


def asked(servers):
    return [len(server.asked) for server in servers]


def test_conversations_are_spread_evenly_and_keep_their_server(servers):
    replicas = Replicas(servers)
    for server in servers:
        server.hold = threading.Semaphore(0)
    threads = [threading.Thread(target=replicas.ask, args=(ask("x", f"task {i}"), {})) for i in range(12)]
    for thread in threads:
        thread.start()
    while sum(asked(servers)) < 12:
        pass
    assert asked(servers) == [4, 4, 4]
    for server in servers:
        server.hold.release(100)
    for thread in threads:
        thread.join()
    first = {name: server for server in servers for name in server.asked}
    for _ in range(3):
        for name, server in first.items():
            assert replicas.ask(ask("y", name), {}).text == server.name


def test_a_conversation_moves_where_its_server_has_many_more_requests(servers):
    replicas = Replicas(servers)
    replicas.ask(ask("x", "mine"), {})
    (mine,) = [server for server in servers if server.asked]
    mine.hold = threading.Semaphore(0)
    threads = [threading.Thread(target=replicas.ask, args=(ask("x", "mine"), {})) for _ in range(MORE_REQUESTS + 1)]
    for thread in threads:
        thread.start()
    while len(mine.asked) < MORE_REQUESTS + 2:
        pass
    assert replicas.ask(ask("x", "mine"), {}).text != mine.name
    mine.hold.release(100)
    for thread in threads:
        thread.join()


def test_a_server_that_fails_is_down_for_a_while_and_then_asked_again_by_one_request(servers):
    clock, revived = Clock(), []
    replicas = Replicas(servers[:2], revive=[lambda: revived.append("a"), lambda: revived.append("b")], clock=clock)
    broken, other = servers[:2]
    broken.error = TransientError("gone")
    for number in range(20):
        assert replicas.ask(ask("x", f"{number}"), {}).text == other.name
    assert len(broken.asked) == FAILURES_UNTIL_DOWN
    assert not revived
    clock.now = FIRST_PAUSE_SECONDS
    replicas.ask(ask("x", "later"), {})
    assert len(broken.asked) == FAILURES_UNTIL_DOWN + 1
    clock.now += FIRST_PAUSE_SECONDS  # the pause has doubled
    replicas.ask(ask("x", "too early"), {})
    assert len(broken.asked) == FAILURES_UNTIL_DOWN + 1
    broken.error, clock.now = None, 4 * FIRST_PAUSE_SECONDS
    assert replicas.ask(ask("x", "back"), {}).text == broken.name
    assert revived == ["a", "a"]


def test_a_server_without_the_adapter_gets_it_before_it_is_asked_again(servers):
    loaded = []

    def revive():
        loaded.append(True)
        servers[0].error = None

    replicas = Replicas(servers[:2], revive=[revive, lambda: None])
    servers[0].error = UnknownModelError("no such adapter")
    texts = [replicas.ask(ask("x", f"{number}"), {}).text for number in range(3)]
    assert loaded == [True]
    assert servers[0].name in texts[1:]


def test_a_server_that_refuses_all_requests_is_left_out_while_others_answer(servers):
    replicas = Replicas(servers)
    servers[0].error = servers[1].error = ProviderError("wrong key")
    assert {replicas.ask(ask("x", f"{number}"), {}).text for number in range(6)} == {servers[2].name}
    assert asked(servers)[:2] == [1, 1]
    servers[2].error = ProviderError("wrong key")
    with pytest.raises(ProviderError, match="wrong key"):
        replicas.ask(ask("x", "last"), {})


def test_requests_go_on_where_a_server_dies_in_the_middle_and_each_is_answered_once():
    """Real connections: one of two servers ends while it holds requests."""
    with (
        fault_server(lambda body: answer(echo(body))) as lasting,
        fault_server(lambda body: answer(echo(body), delay_seconds=0.02)) as dying,
    ):
        endpoint = endpoint_of(dying.url, lasting.url, concurrency=4)
        client = ChatClient(endpoint, place="teacher.endpoint", wait=Waits())
        requests = [ask(f"question {number}", f"task {number % 20}") for number in range(120)]

        def end_after(done, total):
            if done == 40:
                dying.follow([answer("", drop=True)])

        results = client.complete(requests, end_after)
    assert [result.text for result in results] == [f"echo question {number}" for number in range(120)]
    usage = client.take_usage()
    assert (usage["replies_count"], usage["failures_count"]) == (120, 0)
    answered = Counter(echo(body) for body in lasting.bodies)
    assert max(answered.values()) == 1


def echo(body):
    return f"echo {body['messages'][0]['content']}"


def test_answers_are_found_in_the_cache_whichever_server_gave_them():
    with (
        fault_server(lambda body: answer(echo(body))) as first,
        fault_server(lambda body: answer(echo(body))) as second,
    ):
        requests = [ask(f"{number}", f"{number}") for number in range(10)]
        both = ChatClient(endpoint_of(first.url, second.url), place="p")
        both.complete(requests)
        assert len(first.bodies) + len(second.bodies) == 10
        one = ChatClient(Endpoint(base_url=first.url, model="m"), place="p")
        assert all(result.cached for result in one.complete(requests))


@pytest.mark.parametrize("problem", [WRONG_KEY, NO_MODEL])
def test_an_error_of_all_servers_stops_the_run(problem):
    with fault_server([problem]) as first, fault_server([problem]) as second:
        client = ChatClient(endpoint_of(first.url, second.url), place="p", wait=Waits())
        with pytest.raises(ProviderError):
            client.complete([ask("x")])


def test_without_any_server_requests_fail_as_with_one():
    with fault_server([answer("", drop=True)]) as first, fault_server([answer("", drop=True)]) as second:
        client = ChatClient(endpoint_of(first.url, second.url, tries=2), place="p", wait=Waits())
        with pytest.raises(ProviderError, match="None of the first"):
            client.complete([ask("x")])
        client._has_answered = True
        (result,) = client.complete([ask("y")])
        assert isinstance(result, ChatFailure)


def test_calls_from_many_threads_share_one_limit():
    with fault_server(lambda body: answer("hi", delay_seconds=0.02)) as server:
        client = ChatClient(Endpoint(base_url=server.url, model="m", concurrency=3), place="p")
        threads = [threading.Thread(target=client.complete, args=([ask(f"{number}")],)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.most_at_once == 3


@pytest.mark.parametrize(
    ("urls", "message"),
    [([], "has no address"), (["nowhere"], "is not a server address"), (["http://u:p@h/v1"], "contains a user")],
)
def test_wrong_addresses_are_refused_by_name(urls, message):
    with pytest.raises(ConfigError, match=r"endpoint\.base_urls.*" + message):
        Endpoint(base_url="http://h/v1", base_urls=urls, model="m")
