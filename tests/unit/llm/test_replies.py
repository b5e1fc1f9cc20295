"""What a server can answer with status 200: it is read, or it is one failed answer with its reason."""

import json

import pytest

from leap_exp.llm import ChatFailure, ChatReply, CompletionRequest
from leap_exp.runs import read_records, write_records
from tests.support import fault_server as faults
from tests.support.clients import client_of
from tests.support.fault_server import Answer, answer
from tests.support.records import trajectory


def message(content, **fields):
    return faults.of_message({"role": "assistant", "content": content, **fields})


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
TEXT = {"type": "text", "text": "look"}

READ = {
    "text": (message("look"), "look", ""),
    "list of parts": (message([THOUGHT, TEXT]), "look", ""),
    "several texts": (message([TEXT, {"type": "output_text", "text": " up"}, " now"]), "look up now", ""),
    "parts without text": (message([THOUGHT]), "", ""),
    "no parts": (message([]), "", ""),
    "refusal as a part": (message([{"type": "refusal", "refusal": "no"}]), "", "no"),
    "null, cut off": (faults.of_message({"content": None}, finish_reason="length"), "", ""),
    "null, tool calls": (message(None, tool_calls=[{}]), "", ""),
    "no content, refused": (faults.of_message({"refusal": "no"}), "", "no"),
    "no content, cut off": (faults.of_message({"reasoning": "hm"}, finish_reason="length"), "", ""),
    "half of a character": (message("a\ud83db"), "a\ufffdb", ""),
    "a character in two halves": (
        message([{"type": "text", "text": "\ud83d"}, {"type": "text", "text": "\ude00"}]),
        "\U0001f600",
        "",
    ),
    "byte order mark": (Answer(body=b"\xef\xbb\xbf" + answer("look").body.encode()), "look", ""),
    "another encoding": (
        Answer(body=answer("cafe").body.replace("cafe", "caf\xe9").encode("latin-1"), content_type=faults.LATIN),
        "caf\xe9",
        "",
    ),
}

UNREADABLE = {
    "a number": (message(5), "content is of type int"),
    "an object": (message({"text": "look"}), "content is of type dict"),
    "a part without its text": (message([{"type": "text"}]), "a text of the content is not a text"),
    "a part that is a number": (message([5]), "a part of the content is not an object"),
    "a text that is an object": (message([{"type": "text", "text": {"value": "x"}}]), "a text of the content"),
    "no content": (faults.of_message({"role": "assistant"}), "no content"),
    "no message": (faults.of_message(None), "message is not an object"),
    "choices that are no list": (Answer(body='{"choices": {"0": 1}}'), "no choices"),
    "a list": (Answer(body="[]"), "reply is not an object"),
    "an error": (Answer(body='{"error": {"message": "overloaded"}}'), "overloaded"),
    "a stream": (Answer(body='data: {"choices": []}\n\ndata: [DONE]\n\n'), "data:"),
    "a page": (Answer(body="<html>Login</html>", content_type="text/html"), "Login"),
    "deep nesting": (Answer(body="[" * 200_000), "cannot be read"),
    "a huge number": (Answer(body='{"choices": ' + "9" * 5000 + "}"), "cannot be read"),
    "a strange encoding": (Answer(body="abc", content_type="application/json; charset=rot13"), "failed|cannot be read"),
}


@pytest.mark.parametrize(("reply", "text", "refusal"), READ.values(), ids=READ.keys())
def test_a_reply_of_any_usual_form_is_read_and_cached(server, ask, reply, text, refusal):
    server.follow([reply])
    for cached in (False, True):
        (result,) = client_of(server).complete([ask()])
        assert isinstance(result, ChatReply)
        assert (result.text, result.refusal, result.cached) == (text, refusal, cached)
        json.dumps(result.text, ensure_ascii=False).encode()
    assert len(server.bodies) == 1


def test_answers_that_were_cut_off_are_counted(server, ask):
    server.follow([READ["null, cut off"][0], faults.CUT_ANSWER, answer()])
    client = client_of(server, concurrency=1)
    client.complete([ask("one"), ask("two"), ask("three")])
    assert client.take_usage()["truncated_count"] == 2


@pytest.mark.parametrize(("reply", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_reply_that_cannot_be_read_is_one_failed_answer_and_not_cached(server, ask, tmp_path, reply, reason):
    server.follow(lambda body: reply if body["messages"][0]["content"] == "bad" else answer())
    good, failed, last = client_of(server, tries=2).complete([ask("one"), ask("bad"), ask("two")])
    assert good.text == last.text == "hello"
    assert isinstance(failed, ChatFailure)
    assert any(part in failed.error for part in reason.split("|"))
    assert "(tries: 2)" in failed.error
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 2


USAGES = [None, 5, [], {"prompt_tokens": None}, {"prompt_tokens": -1, "completion_tokens": 1e300}]
USAGES += [{"prompt_tokens": True}, {"prompt_tokens": "7"}, {"prompt_tokens": 10**400}, {"completion_tokens": []}]


@pytest.mark.parametrize("usage", USAGES)
def test_counts_that_cannot_be_read_are_estimated(server, ask, usage):
    body = json.loads(answer("x" * 40).body) | {"usage": usage}
    server.follow([Answer(body=json.dumps(body))])
    client = client_of(server)
    (reply,) = client.complete([ask("y" * 80)])
    assert (reply.tokens_in, reply.tokens_out) == (21, 10)
    assert client.take_usage()["paid_dollars"] > 0


@pytest.mark.parametrize(
    "logprobs", [5, [], {"content": 5}, {"content": [None]}, {"content": [{"token": 1, "logprob": 0.0}]}, {"x": 1}]
)
def test_log_probabilities_that_cannot_be_read_are_missing(server, ask, logprobs):
    server.follow([answer("a", logprobs=logprobs)])
    for _ in range(2):
        (reply,) = client_of(server).complete([ask(top_logprobs=1)])
        assert (reply.text, reply.logprobs) == ("a", None)


@pytest.mark.parametrize("text", ["x", None, 5, ["x"]])
def test_a_completion_is_a_text(server, ask, text):
    choice = {"text": text, "finish_reason": "stop"}
    server.follow([answer("hello"), Answer(body=json.dumps({"choices": [choice]}))])
    client = client_of(server, tries=1, concurrency=1)
    _, result = client.complete([ask(), CompletionRequest(prompt_ids=(1, 2))])
    assert isinstance(result, ChatReply if text == "x" else ChatFailure)


def test_a_request_with_half_of_a_character_is_sent(server, ask):
    server.follow([answer()])
    (reply,) = client_of(server).complete([ask("a\ud83db")])
    assert reply.text == "hello"
    assert server.bodies[0]["messages"][0]["content"] == "a\ufffdb"


def cached_file(tmp_path):
    (file,) = (tmp_path / "cache" / "replies").rglob("*.json")
    return file


@pytest.mark.parametrize(
    "change",
    [
        {"text": [TEXT]},
        {"text": None},
        {"finish_reason": 5},
        {"tokens_in": "7"},
        {"logprobs": [{"token": 1}]},
        {"x": 1},
    ],
    ids=str,
)
def test_a_cached_reply_that_cannot_be_used_is_asked_for_again(server, ask, tmp_path, change, caplog):
    server.follow([answer("one"), answer("two")])
    client_of(server).complete([ask()])
    data = json.loads(cached_file(tmp_path).read_text())
    cached_file(tmp_path).write_text(json.dumps(data | {"reply": data["reply"] | change}))
    assert client_of(server).complete([ask()])[0].text == "two"
    assert "Cannot use the cached reply" in caplog.text
    assert client_of(server).complete([ask()])[0].cached


@pytest.mark.parametrize(
    "content", ["[]", "5", '"x"', "null", '{"reply": null}', '{"reply": []}', "\x00", "[" * 200_000]
)
def test_a_cache_file_with_anything_in_it_is_replaced(server, ask, tmp_path, content):
    server.follow([answer("one"), answer("two")])
    client_of(server).complete([ask()])
    cached_file(tmp_path).write_text(content)
    assert [client_of(server).complete([ask()])[0].text for _ in range(2)] == ["two", "two"]


def test_half_of_a_character_in_an_old_cache_file_is_replaced(server, ask, tmp_path):
    server.follow([answer("one")])
    client_of(server).complete([ask()])
    data = json.loads(cached_file(tmp_path).read_text())
    data["reply"]["text"] = "a\ud83d"
    cached_file(tmp_path).write_text(json.dumps(data))
    (reply,) = client_of(server).complete([ask()])
    assert (reply.text, reply.cached) == ("a\ufffd", True)


def test_half_of_a_character_never_costs_a_stage_its_records(tmp_path):
    write_records(tmp_path / "records.jsonl", [trajectory("say \ud83d")], {})
    (read,) = read_records(tmp_path / "records.jsonl").records
    assert read == trajectory("say \ufffd")
