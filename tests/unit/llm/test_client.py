"""The client: order, concurrency, cache, budget, usage and secrets."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.llm import ChatFailure, ChatReply, estimate_cost
from tests.support import fault_server as faults
from tests.support.clients import KEY, KEY_VARIABLE, client_of
from tests.support.fault_server import answer, error


def echo(body):
    """Answer with the question; later questions are answered sooner."""
    text = body["messages"][-1]["content"]
    return answer(text, delay_seconds=0.1 / (1 + int(text)))


def test_replies_are_in_the_order_of_the_requests_and_concurrency_is_limited(server, ask):
    server.follow(echo)
    seen = []
    replies = client_of(server, concurrency=4).complete(
        [ask(f"{index}") for index in range(20)], lambda done, total: seen.append((done, total))
    )
    assert [reply.text for reply in replies] == [f"{index}" for index in range(20)]
    assert 2 <= server.most_at_once <= 4
    assert seen == [(done, 20) for done in range(1, 21)]


def test_a_second_client_answers_from_the_cache(server, ask):
    server.follow(echo)
    requests = [ask(f"{index}") for index in range(5)]
    first = client_of(server).complete(requests)
    asked = len(server.bodies)
    again = client_of(server, key_variable=None).complete(requests)
    assert asked == len(server.bodies) == 5
    assert [(r.text, r.tokens_in, r.tokens_out) for r in again] == [(r.text, r.tokens_in, r.tokens_out) for r in first]
    assert all(reply.cached for reply in again)


@pytest.mark.parametrize(
    "change", [{"temperature": 0.5}, {"max_tokens": 7}, {"seed": 1}, {"attempt": 1}, {"schema": {"type": "object"}}]
)
def test_requests_that_differ_are_cached_separately(server, ask, change):
    server.follow([answer("one"), answer("two")])
    client = client_of(server)
    assert client.complete([ask()])[0].text == "one"
    assert client.complete([ask(**change)])[0].text == "two"
    assert client_of(server, max_tokens_name="max_completion_tokens").complete([ask()])[0].text == "two"
    assert len(server.bodies) == 3


def test_equal_requests_are_sent_once(server, ask):
    server.follow([answer()])
    client = client_of(server)
    replies = client.complete([ask(), ask("other"), ask()])
    assert replies[0] == replies[2]
    assert len(server.bodies) == 2
    assert client.take_usage()["replies_count"] == 2


def test_no_requests_give_no_replies(server):
    assert client_of(server).complete([]) == []


def test_a_broken_cache_file_is_replaced(server, ask, tmp_path):
    server.follow([answer("one"), answer("two")])
    client_of(server).complete([ask()])
    (file,) = (tmp_path / "cache" / "replies").rglob("*.json")
    file.write_text(file.read_text()[:20])
    assert client_of(server).complete([ask()])[0].text == "two"
    assert client_of(server).complete([ask()])[0].text == "two"
    assert len(server.bodies) == 2


def test_replies_are_cached_as_soon_as_they_arrive(server, ask, tmp_path):
    release = threading.Event()

    def script(body):
        if body["messages"][0]["content"] == "late":
            release.wait(10)
        return answer()

    server.follow(script)
    cached_so_far = []

    def watch(done, total):
        cached_so_far.append(len(list((tmp_path / "cache").rglob("*.json"))))
        if done == 2:
            release.set()

    client_of(server).complete([ask("late"), ask("one"), ask("two")], watch)
    assert cached_so_far[1] == 2


ASK_SIX = """
import sys
from leap_exp.llm import ChatClient, ChatRequest, Endpoint, Message
endpoint = Endpoint(base_url=sys.argv[1], model="m", concurrency=1)
requests = [ChatRequest(messages=(Message(role="user", text=f"{index}"),)) for index in range(6)]
ChatClient(endpoint, place="teacher.endpoint").complete(requests)
"""


HEED_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""Processes that a shell starts in the background ignore interrupts, and tests may be among them."""


def test_a_killed_process_loses_only_the_request_in_flight(server, ask):
    fourth = threading.Event()

    def script(body):
        if body["messages"][0]["content"] == "3":
            fourth.set()
            return answer(delay_seconds=5.0)
        return answer()

    server.follow(script)
    process = subprocess.Popen([sys.executable, "-c", ASK_SIX, server.url])
    try:
        assert fourth.wait(60)
    finally:
        process.kill()
        process.wait()
    server.follow([answer()])
    client = client_of(server, key_variable=None)
    replies = client.complete([ask(f"{index}") for index in range(6)])
    assert [reply.cached for reply in replies] == [True, True, True, False, False, False]
    assert len(server.bodies) == 3


def test_an_interrupted_process_does_not_wait_for_requests_in_flight(server):
    arrived = threading.Event()

    def script(body):
        arrived.set()
        return answer(delay_seconds=20.0)

    server.follow(script)
    process = subprocess.Popen([sys.executable, "-c", HEED_INTERRUPTS + ASK_SIX, server.url], stderr=subprocess.DEVNULL)
    try:
        assert arrived.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
    finally:
        process.kill()


def test_a_request_budget_stops_the_run_and_a_higher_one_pays_only_for_the_rest(server, ask):
    server.follow([answer()])
    requests = [ask(f"{index}") for index in range(10)]
    with pytest.raises(ProviderError, match=r"raise teacher\.endpoint\.budget_requests") as caught:
        client_of(server, budget_requests=4).complete(requests)
    assert "budget_requests=4" in str(caught.value)
    assert len(server.bodies) == 4
    replies = client_of(server, budget_requests=6).complete(requests)
    assert all(isinstance(reply, ChatReply) for reply in replies)
    assert [reply.cached for reply in replies].count(True) == 4
    assert len(server.bodies) == 10


def test_retries_count_against_the_request_budget(server, ask):
    server.follow([faults.BUSY])
    with pytest.raises(ProviderError, match="budget_requests=3"):
        client_of(server, budget_requests=3, tries=9).complete([ask()])
    assert len(server.bodies) == 3


def test_a_dollar_budget_is_not_exceeded_by_concurrent_requests(server, ask):
    # At 2 and 8 dollars a million, 100,000 tokens in and 50,000 out cost 0.2 + 0.4 dollars.
    server.follow([answer(tokens_in=100_000, tokens_out=50_000)])
    requests = [ask(f"{index:0400000}") for index in range(10)]
    client = client_of(server, budget_dollars=2.0, max_tokens=50_000, concurrency=8)
    with pytest.raises(ProviderError, match=r"raise teacher\.endpoint\.budget_dollars"):
        client.complete(requests)
    assert len(server.bodies) == 3
    assert client.take_usage()["paid_dollars"] == pytest.approx(1.8)


def test_a_dollar_budget_waits_for_requests_that_cost_less_than_reserved(server, ask):
    server.follow([answer(tokens_in=10, tokens_out=1)])
    requests = [ask(f"{index}") for index in range(20)]
    client_of(server, budget_dollars=0.01, max_tokens=1000, concurrency=8).complete(requests)
    assert len(server.bodies) == 20


def test_usage_adds_up(server, ask):
    server.follow([answer(tokens_in=1_000, tokens_out=500), answer(tokens_in=3_000, tokens_out=0), faults.TOO_LONG])
    client = client_of(server, concurrency=1)
    client.complete([ask("one"), ask("two"), ask("three")])
    client.complete([ask("one")])
    usage = client.take_usage()
    assert usage["replies_count"] == 3
    assert usage["failures_count"] == 1
    assert usage["truncated_count"] == 0
    assert usage["cache_hits_count"] == 1
    assert usage["tokens_in_count"] == 1_000 + 3_000 + 1_000
    assert usage["tokens_out_count"] == 1_000
    assert usage["cost_dollars"] == pytest.approx((5_000 * 2 + 1_000 * 8) / 1e6)
    assert usage["paid_dollars"] == pytest.approx((4_000 * 2 + 500 * 8) / 1e6)
    assert 0 < usage["latency_p50_seconds"] <= usage["latency_p95_seconds"] < 5
    assert client.take_usage() == {}


def test_metrics_do_not_depend_on_the_cache(server, ask):
    server.follow(echo)
    usages = []
    for _ in range(2):
        client = client_of(server)
        client.complete([ask("1"), ask("2")])
        usages.append(client.take_usage())
    varying = ("_seconds", "paid_dollars", "cache_hits_count")
    first, second = ({name: value for name, value in usage.items() if not name.endswith(varying)} for usage in usages)
    assert first == second
    assert usages[1]["paid_dollars"] == 0
    assert usages[1]["cache_hits_count"] == 2


def test_an_unknown_price_is_reported_as_unknown(server, ask):
    server.follow([answer()])
    client = client_of(server, price_in=None, price_out=None)
    assert "unknown price" in client.estimate([ask()])
    client.complete([ask()])
    assert "cost_dollars" not in client.take_usage()


def test_an_estimate_counts_requests_tokens_and_the_maximum_cost(server, ask):
    server.follow([answer()])
    client = client_of(server, max_tokens=1_000)
    requests = [ask("x" * 3_999), ask("y" * 3_999, max_tokens=500)]
    expected = estimate_cost(requests, client.endpoint)
    assert (expected.requests, expected.tokens_in, expected.max_tokens_out) == (2, 2_000, 1_500)
    assert expected.max_dollars == pytest.approx(2_000 * 2e-6 + 1_500 * 8e-6)
    assert "2 requests" in client.estimate(requests)
    client.complete(requests[:1])
    assert "1 request, about" in client.estimate(requests)
    assert "1 more are cached" in client.estimate(requests)


def test_a_server_that_rejects_schemas_gets_no_more_of_them(server, ask):
    def script(body):
        return error(400, "response_format is not supported") if "response_format" in body else answer()

    server.follow(script)
    client = client_of(server, concurrency=1)
    schema = {"type": "object"}
    assert [r.text for r in client.complete([ask("one", schema=schema), ask("two", schema=schema)])] == ["hello"] * 2
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    assert client_of(server).complete([ask("one", schema=schema)])[0].cached


@pytest.mark.parametrize(("setting", "sent"), [("yes", True), ("no", False)])
def test_schemas_are_sent_as_configured(server, ask, setting, sent):
    server.follow([answer()])
    client_of(server, structured_output=setting).complete([ask(schema={"type": "object"})])
    assert ("response_format" in server.bodies[0]) == sent


def test_the_request_body_follows_the_settings(server, ask):
    server.follow([answer()])
    client_of(server, temperature=None, send_seed=False, max_tokens_name="max_completion_tokens").complete([ask("hi")])
    assert server.bodies[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 2048,
    }
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_log_probabilities_are_reported_and_cached(server, ask):
    place = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.5}]}
    server.follow([answer("a", logprobs={"content": [place]})])
    replies = [client_of(server).complete([ask(top_logprobs=1)])[0] for _ in range(2)]
    assert len(server.bodies) == 1
    for reply in replies:
        (token,) = reply.logprobs
        assert (token.token, token.logprob, token.top) == ("a", -0.5, {"b": -1.5})


def test_tokens_are_estimated_if_the_server_does_not_report_them(server, ask):
    body = json.loads(answer("x" * 40).body)
    del body["usage"]
    server.follow([faults.Answer(body=json.dumps(body))])
    (reply,) = client_of(server).complete([ask("y" * 80)])
    assert (reply.tokens_in, reply.tokens_out) == (21, 10)


def test_a_missing_key_is_reported_before_the_first_request(server, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ProviderError, match=rf"{KEY_VARIABLE}.*teacher\.endpoint\.key_variable"):
        client_of(server)


def test_the_key_appears_only_in_requests(server, ask, tmp_path, caplog):
    caplog.set_level("DEBUG")
    answers = [
        answer(f"you sent {KEY}"),
        error(400, f"bad request with {KEY}"),
        faults.Answer(body=f"no JSON but {KEY}"),
        error(500, f"Authorization: Bearer {KEY}"),
        error(401, f"Incorrect API key provided: {KEY[:10]}****{KEY[-4:]}"),
    ]
    server.follow(answers)
    client = client_of(server, concurrency=1, tries=1)
    results = client.complete([ask(f"{index}") for index in range(4)])
    with pytest.raises(ProviderError) as caught:
        client.complete([ask("last")])
    seen = [
        *(result.error if isinstance(result, ChatFailure) else result.text for result in results),
        str(caught.value),
        caplog.text,
        repr(client.endpoint),
        *(file.read_text() for file in (tmp_path / "cache").rglob("*") if file.is_file()),
    ]
    assert len(results) == 4
    for text in seen:
        assert KEY not in text
        assert KEY[:10] not in text
