"""Order, limits, the cache, the budget, the account and secrets."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.llm import ChatFailure, ChatReply, estimate
from tests import fault_server as faults
from tests.fault_server import answer, error
from tests.unit.llm.clients import KEY, KEY_VARIABLE, client_of


def echo(body):
    """Answers with the question; later questions sooner."""
    text = body["messages"][-1]["content"]
    return answer(text, delay_seconds=0.1 / (1 + int(text)))


def test_answers_come_in_the_order_of_the_requests_and_no_more_than_the_limit_are_under_way(server, ask):
    server.follow(echo)
    told = []
    replies = client_of(server, concurrency=4).complete(
        [ask(f"{index}") for index in range(20)], lambda done, total: told.append((done, total))
    )
    assert [reply.text for reply in replies] == [f"{index}" for index in range(20)]
    assert 2 <= server.most_at_once <= 4
    assert told == [(done, 20) for done in range(1, 21)]


def test_what_was_asked_before_comes_from_the_cache_even_in_another_process(server, ask):
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
def test_another_request_is_another_answer(server, ask, change):
    server.follow([answer("one"), answer("two")])
    client = client_of(server)
    assert client.complete([ask()])[0].text == "one"
    assert client.complete([ask(**change)])[0].text == "two"
    assert client_of(server, max_tokens_name="max_completion_tokens").complete([ask()])[0].text == "two"
    assert len(server.bodies) == 3


def test_equal_requests_are_asked_once(server, ask):
    server.follow([answer()])
    client = client_of(server)
    replies = client.complete([ask(), ask("other"), ask()])
    assert replies[0] == replies[2]
    assert len(server.bodies) == 2
    assert client.account.close()["replies_count"] == 2


def test_nothing_to_ask_is_no_trouble(server):
    assert client_of(server).complete([]) == []


def test_a_broken_file_in_the_cache_is_asked_for_again(server, ask, tmp_path):
    server.follow([answer("one"), answer("two")])
    client_of(server).complete([ask()])
    (file,) = (tmp_path / "cache" / "replies").rglob("*.json")
    file.write_text(file.read_text()[:20])
    assert client_of(server).complete([ask()])[0].text == "two"
    assert client_of(server).complete([ask()])[0].text == "two"
    assert len(server.bodies) == 2


def test_replies_are_kept_the_moment_they_arrive(server, ask, tmp_path):
    release = threading.Event()

    def script(body):
        if body["messages"][0]["content"] == "late":
            release.wait(10)
        return answer()

    server.follow(script)
    kept_before_the_end = []

    def watch(done, total):
        kept_before_the_end.append(len(list((tmp_path / "cache").rglob("*.json"))))
        if done == 2:
            release.set()

    client_of(server).complete([ask("late"), ask("one"), ask("two")], watch)
    assert kept_before_the_end[1] == 2


ASK_SIX = """
import sys
from leap_exp.config.endpoints import EndpointConfig
from leap_exp.llm import ChatRequest, Message
endpoint = EndpointConfig(base_url=sys.argv[1], model="m", concurrency=1)
requests = [ChatRequest(messages=(Message(role="user", text=f"{index}"),)) for index in range(6)]
endpoint.build("teacher.endpoint").complete(requests)
"""


HEED_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""What a shell starts in the background ignores interrupts, tests and their processes too."""


def test_a_process_that_is_killed_loses_only_what_was_under_way(server, ask):
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


def test_an_interrupted_process_does_not_wait_for_what_is_under_way(server):
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


def test_a_budget_of_requests_stops_the_run_and_a_higher_one_pays_only_the_rest(server, ask):
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


def test_tries_count_against_the_budget_of_requests(server, ask):
    server.follow([faults.BUSY])
    with pytest.raises(ProviderError, match="budget_requests=3"):
        client_of(server, budget_requests=3, tries=9).complete([ask()])
    assert len(server.bodies) == 3


def test_a_budget_of_dollars_is_never_exceeded_however_many_are_under_way(server, ask):
    # At 2 and 8 dollars a million, 100,000 tokens in and 50,000 out cost 0.2 + 0.4 dollars.
    server.follow([answer(tokens_in=100_000, tokens_out=50_000)])
    requests = [ask(f"{index:0400000}") for index in range(10)]
    client = client_of(server, budget_dollars=2.0, max_tokens=50_000, concurrency=8)
    with pytest.raises(ProviderError, match=r"raise teacher\.endpoint\.budget_dollars"):
        client.complete(requests)
    assert len(server.bodies) == 3
    assert client.account.close()["paid_dollars"] == pytest.approx(1.8)


def test_a_budget_waits_for_those_under_way_that_cost_less_than_was_set_aside(server, ask):
    server.follow([answer(tokens_in=10, tokens_out=1)])
    requests = [ask(f"{index}") for index in range(20)]
    client_of(server, budget_dollars=0.01, max_tokens=1000, concurrency=8).complete(requests)
    assert len(server.bodies) == 20


def test_the_account_adds_up(server, ask):
    server.follow([answer(tokens_in=1_000, tokens_out=500), answer(tokens_in=3_000, tokens_out=0), faults.TOO_LONG])
    client = client_of(server, concurrency=1)
    client.complete([ask("one"), ask("two"), ask("three")])
    client.complete([ask("one")])
    account = client.account.close()
    assert account["replies_count"] == 3
    assert account["failures_count"] == 1
    assert account["cache_hits_count"] == 1
    assert account["tokens_in_count"] == 1_000 + 3_000 + 1_000
    assert account["tokens_out_count"] == 1_000
    assert account["cost_dollars"] == pytest.approx((5_000 * 2 + 1_000 * 8) / 1e6)
    assert account["paid_dollars"] == pytest.approx((4_000 * 2 + 500 * 8) / 1e6)
    assert 0 < account["latency_p50_seconds"] <= account["latency_p95_seconds"] < 5
    assert client.account.close() == {}


def test_figures_that_enter_the_metrics_do_not_depend_on_the_cache(server, ask):
    server.follow(echo)
    accounts = []
    for _ in range(2):
        client = client_of(server)
        client.complete([ask("1"), ask("2")])
        accounts.append(client.account.close())
    circumstances = ("_seconds", "paid_dollars", "cache_hits_count")
    first, second = (
        {name: value for name, value in account.items() if not name.endswith(circumstances)} for account in accounts
    )
    assert first == second
    assert accounts[1]["paid_dollars"] == 0
    assert accounts[1]["cache_hits_count"] == 2


def test_an_unknown_price_is_said_to_be_unknown(server, ask):
    server.follow([answer()])
    client = client_of(server, price_in=None, price_out=None)
    assert "unknown price" in client.forecast([ask()])
    client.complete([ask()])
    assert "cost_dollars" not in client.account.close()


def test_an_estimate_counts_requests_tokens_and_the_most_they_can_cost(server, ask):
    server.follow([answer()])
    client = client_of(server, max_tokens=1_000)
    requests = [ask("x" * 3_999), ask("y" * 3_999, max_tokens=500)]
    guess = estimate(requests, client.endpoint)
    assert (guess.requests, guess.tokens_in, guess.tokens_out_most) == (2, 2_000, 1_500)
    assert guess.dollars_most == pytest.approx(2_000 * 2e-6 + 1_500 * 8e-6)
    assert "2 requests" in client.forecast(requests)
    client.complete(requests[:1])
    assert "1 request, about" in client.forecast(requests)
    assert "1 more are cached" in client.forecast(requests)


def test_a_server_without_schemas_is_asked_without_them_from_then_on(server, ask):
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


def test_what_is_sent_is_what_was_configured(server, ask):
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


def test_tokens_are_estimated_where_the_server_does_not_count_them(server, ask):
    body = json.loads(answer("x" * 40).body)
    del body["usage"]
    server.follow([faults.Answer(body=json.dumps(body))])
    (reply,) = client_of(server).complete([ask("y" * 80)])
    assert (reply.tokens_in, reply.tokens_out) == (21, 10)


def test_a_missing_key_is_found_before_anything_is_asked(server, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ProviderError, match=rf"{KEY_VARIABLE}.*teacher\.endpoint\.key_variable"):
        client_of(server)


def test_the_key_is_nowhere_but_in_the_request(server, ask, tmp_path, caplog):
    caplog.set_level("DEBUG")
    told = [
        answer(f"you sent {KEY}"),
        error(400, f"bad request with {KEY}"),
        faults.Answer(body=f"no JSON but {KEY}"),
        error(500, f"Authorization: Bearer {KEY}"),
        error(401, f"Incorrect API key provided: {KEY[:10]}****{KEY[-4:]}"),
    ]
    server.follow(told)
    client = client_of(server, concurrency=1, tries=1)
    outcomes = client.complete([ask(f"{index}") for index in range(4)])
    with pytest.raises(ProviderError) as caught:
        client.complete([ask("last")])
    seen = [
        *(outcome.error if isinstance(outcome, ChatFailure) else outcome.text for outcome in outcomes),
        str(caught.value),
        caplog.text,
        repr(client.endpoint),
        *(file.read_text() for file in (tmp_path / "cache").rglob("*") if file.is_file()),
    ]
    assert len(outcomes) == 4
    for text in seen:
        assert KEY not in text
        assert KEY[:10] not in text
