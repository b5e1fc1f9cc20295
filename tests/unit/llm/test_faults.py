"""Server faults: each ends as the table in docs/language_models.md says."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.llm import ChatFailure, ChatReply
from leap_exp.llm.server import retry_after
from tests.support import fault_server as faults
from tests.support.clients import Waits, client_of
from tests.support.fault_server import answer

TRANSIENT = {
    **{str(status): faults.error(status) for status in (408, 409, 425, 502, 529)},
    "429": faults.TOO_MANY,
    "500": faults.BROKEN,
    "503": faults.BUSY,
    "dropped connection": faults.DROPPED,
    "cut-off body": faults.CUT_BODY,
    "cut-off JSON": faults.CUT_JSON,
    "no choices": faults.NO_CHOICES,
    "not JSON": faults.NOT_JSON,
    "empty body": faults.EMPTY_BODY,
}
FATAL = {
    "401": (faults.WRONG_KEY, "TEST_CHAT_KEY"),
    "403": (faults.FORBIDDEN, "TEST_CHAT_KEY"),
    "402": (faults.error(402), "credit"),
    "404": (faults.NO_MODEL, "teacher.endpoint.model=m"),
    "no credit": (faults.NO_CREDIT, "credit"),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_transient_fault_is_retried_and_counted(server, ask, fault):
    server.follow([fault, fault, answer("at last")])
    waits = Waits()
    client = client_of(server, waits=waits)
    (reply,) = client.complete([ask()])
    assert isinstance(reply, ChatReply)
    assert reply.text == "at last"
    assert len(server.bodies) == 3
    assert len(waits) == 2
    assert client.take_usage()["retries_count"] == 2


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_permanent_fault_fails_only_its_own_request(server, ask, fault):
    server.follow(lambda body: fault if body["messages"][0]["content"] == "bad" else answer("good"))
    client = client_of(server, tries=3)
    first, failed, last = client.complete([ask("one"), ask("bad"), ask("two")])
    assert first.text == last.text == "good"
    assert isinstance(failed, ChatFailure)
    assert "(tries: 3)" in failed.error
    assert len(server.bodies) == 5
    assert client.take_usage()["failures_count"] == 1


def test_a_slow_answer_is_accepted_until_the_timeout(server, ask):
    server.follow([faults.SLOW])
    assert client_of(server, timeout_seconds=5.0).complete([ask()])[0].text == "hello"
    server.follow([faults.SLOW, answer("quick")])
    assert client_of(server, timeout_seconds=0.3).complete([ask("again")])[0].text == "quick"
    assert len(server.bodies) == 2


def test_an_answer_that_is_too_slow_is_reported_while_it_is_waited_for(server, ask, caplog):
    server.follow([faults.SLOW, faults.SLOW, faults.SLOW, answer("quick")])
    (reply,) = client_of(server, timeout_seconds=0.3).complete([ask()])
    assert reply.text == "quick"
    reports = [record.message for record in caplog.records if "sent again" in record.message]
    assert 1 <= len(reports) <= 3
    assert "did not answer within 0.3 s; the request is sent again (try 2 of 6)" in reports[0]
    assert "teacher.endpoint.timeout_seconds" in reports[0]


def test_many_slow_answers_are_fewer_reports(server, ask, caplog):
    server.follow(lambda body: faults.SLOW if len(server.bodies) <= 8 else answer("quick"))
    client_of(server, timeout_seconds=0.6, concurrency=8).complete([ask(f"{index}") for index in range(8)])
    assert 1 <= sum("sent again" in record.message for record in caplog.records) < 8


@pytest.mark.parametrize(("fault", "named"), FATAL.values(), ids=FATAL.keys())
def test_an_error_that_affects_all_requests_stops_at_once_and_says_what_to_check(server, ask, fault, named):
    server.follow([answer("fine"), fault])
    client = client_of(server, concurrency=1)
    client.complete([ask("one")])
    with pytest.raises(ProviderError, match=named) as caught:
        client.complete([ask("two"), ask("three"), ask("four")])
    assert "127.0.0.1" in str(caught.value)
    assert len(server.bodies) == 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_rejected_request_is_not_retried(server, ask, status):
    too_long = faults.error(status, "maximum context length is 8 tokens")
    server.follow(lambda body: too_long if body["messages"][0]["content"] == "long" else answer())
    waits = Waits()
    good, failed = client_of(server, waits=waits).complete([ask("short"), ask("long")])
    assert good.text == "hello"
    assert "maximum context length" in failed.error
    assert waits == []
    assert len(server.bodies) == 2


def test_a_server_that_rejects_everything_from_the_start_stops_the_run(server, ask):
    server.follow([faults.TOO_LONG])
    with pytest.raises(ProviderError, match="maximum context length"):
        client_of(server).complete([ask("one"), ask("two")])


def test_a_server_that_goes_down_stops_the_run_and_its_replies_stay_cached(server, ask):
    requests = [ask(f"{index}") for index in range(40)]
    server.follow([*[answer("kept")] * 5, faults.DROPPED])
    with pytest.raises(ProviderError, match="in a row"):
        client_of(server, concurrency=2, tries=2).complete(requests)
    assert len(server.bodies) < 40
    server.follow([answer("later")])
    replies = client_of(server).complete(requests)
    assert [reply.text for reply in replies].count("kept") == 5
    assert len(server.bodies) == 35


@pytest.mark.parametrize("fault", [faults.CUT_ANSWER, faults.WRONG_LENGTH, faults.REFUSED, faults.FILTERED])
def test_an_unusable_answer_is_marked_and_a_second_attempt_gets_a_new_one(server, ask, fault):
    server.follow([fault, answer("better")])
    client = client_of(server)
    (reply,) = client.complete([ask()])
    assert reply.is_truncated == (fault is faults.CUT_ANSWER)
    assert reply.is_refused == (fault in (faults.REFUSED, faults.FILTERED))
    assert client.complete([ask()])[0].cached
    (second,) = client.complete([ask(attempt=1)])
    assert second.text == "better"
    assert server.bodies[0]["seed"] != server.bodies[1]["seed"]
    assert [body["temperature"] for body in server.bodies] == [0.0, 0.7]
    assert len(server.bodies) == 2


def test_retry_after_is_respected_unless_it_is_too_long(server, ask):
    server.follow([faults.TOO_MANY, answer()])
    waits = Waits()
    client_of(server, waits=waits).complete([ask()])
    assert len(waits) == 1
    assert 7.0 <= waits[0] <= 7.7
    server.follow([answer(), faults.error(429, headers={"Retry-After": "86400"})])
    client = client_of(server, waits=waits, concurrency=1)
    _, failed = client.complete([ask("one"), ask("two")])
    assert isinstance(failed, ChatFailure)
    assert len(waits) == 1


def test_retry_after_is_a_number_or_a_date():
    assert retry_after("2.5") == 2.5
    assert 20 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)) <= 30
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after(None) is retry_after("soon") is None


def test_waits_grow_and_differ_between_requests(server, ask):
    server.follow([faults.BUSY])
    waits = {}
    for text in ("one", "two"):
        waits[text] = Waits()
        with pytest.raises(ProviderError):
            client_of(server, waits=waits[text], tries=5).complete([ask(text)])
    assert all(2**place / 2 <= wait <= 2**place for place, wait in enumerate(waits["one"]))
    assert waits["one"] != waits["two"]
    assert len(waits["one"]) == 4


def test_a_missing_server_is_reported_with_its_address(ask, server):
    server.close()
    with pytest.raises(ProviderError, match=r"ConnectError.*Connection refused.*teacher\.endpoint\.base_url=http"):
        client_of(server, tries=2).complete([ask()])
