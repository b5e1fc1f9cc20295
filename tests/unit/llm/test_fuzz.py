"""Replies mutated at random give an answer or a recorded failure, and the cache holds only what can be read."""

import copy
import json
import random

import pytest

from leap_exp.llm import ChatFailure, ChatReply, CompletionRequest
from leap_exp.llm.cache import ReplyCache
from tests.support.clients import client_of
from tests.support.fault_server import JSON, Answer, answer

MUTATIONS = 30
"""Mutated replies for each seed, kind of request and kind of mutation."""

VALUES = [None, True, False, 0, -1, 1.5, 1e308, 10**30, float("nan"), float("inf"), "", "x", "\ud83d", "\x00", [], {}]
VALUES += [
    [None],
    [[]],
    [{}],
    {"": None},
    {"text": "x"},
    [{"type": "text", "text": "x"}],
    [{"type": "text"}],
    "0",
    "stop",
]
ENCODINGS = ["utf-8", "utf-16", "utf-32", "utf-8-sig", "latin-1", "cp037", "utf-7"]
CHARSETS = ["utf-8", "utf-16", "latin-1", "rot13", "base64", "idna", "punycode", "unicode_escape", "nonsense", ""]


def original(completion: bool) -> dict:
    place = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.5}]}
    data = json.loads(answer("go to désk 1", logprobs={"content": [place]}).body)
    if completion:
        data["choices"][0] = {"index": 0, "text": "go to désk 1", "finish_reason": "stop", "logprobs": None}
    return data


def places(data: object) -> list[tuple[object, object]]:
    """Every (container, key) in ``data``."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [place for key in keys for place in [(data, key), *places(data[key])]]


def of_other_types(data: dict, generator: random.Random) -> Answer:
    for _ in range(generator.randint(1, 3)):
        container, key = generator.choice(places(data) or [({"x": 0}, "x")])
        container[key] = copy.deepcopy(generator.choice(VALUES))
    return Answer(body=json.dumps(data))


def with_missing_fields(data: dict, generator: random.Random) -> Answer:
    for _ in range(generator.randint(1, 3)):
        if places(data):
            container, key = generator.choice(places(data))
            del container[key]
    return Answer(body=json.dumps(data))


def with_nulls(data: dict, generator: random.Random) -> Answer:
    for container, key in generator.sample(places(data), generator.randint(1, 3)):
        container[key] = None
    return Answer(body=json.dumps(data))


def with_parts(data: dict, generator: random.Random) -> Answer:
    content = [copy.deepcopy(generator.choice(VALUES)) for _ in range(generator.randint(0, 3))]
    choice = data["choices"][0]
    choice.get("message", choice)["content" if "message" in choice else "text"] = content
    return Answer(body=json.dumps(data))


def cut_off(data: dict, generator: random.Random) -> Answer:
    body = json.dumps(data, ensure_ascii=False).encode()
    place = generator.randrange(len(body))
    return Answer(body=body, cut_at=place) if generator.random() < 0.5 else Answer(body=body[:place])


def in_other_encodings(data: dict, generator: random.Random) -> Answer:
    body = json.dumps(data, ensure_ascii=generator.random() < 0.5).encode(generator.choice(ENCODINGS))
    return Answer(body=body, content_type=f"{JSON}; charset={generator.choice(CHARSETS)}")


def with_other_bytes(data: dict, generator: random.Random) -> Answer:
    body = bytearray(json.dumps(data, ensure_ascii=False).encode())
    for _ in range(generator.randint(1, 8)):
        place = generator.randrange(len(body))
        body[place : place + generator.randint(0, 2)] = generator.randbytes(generator.randint(0, 2))
    return Answer(body=bytes(body))


def with_another_status(data: dict, generator: random.Random) -> Answer:
    body = generator.choice(
        [data, {"error": generator.choice(VALUES)}, {"error": {"message": generator.choice(VALUES)}}]
    )
    status = generator.choice([200, 201, 204, 206, 299, 300, 304, 400, 409, 418, 422, 429, 451, 500, 503, 599])
    headers = {"Retry-After": generator.choice(["", "soon", "nan", "1e999", "-1", "Wed, 99 Foo 9999999 00:00:00 GMT"])}
    return Answer(status=status, body="" if status in (204, 304) else json.dumps(body), headers=headers)


MUTATE = [of_other_types, with_missing_fields, with_nulls, with_parts, cut_off, in_other_encodings, with_other_bytes]
MUTATE += [with_another_status]


@pytest.mark.parametrize("completion", [False, True], ids=["chat", "completion"])
@pytest.mark.parametrize("mutate", MUTATE, ids=lambda mutate: mutate.__name__)
def test_a_mutated_reply_is_an_answer_or_a_failure(server, ask, tmp_path, mutate, completion):
    generator = random.Random(f"{mutate.__name__} {completion}")
    replies = [mutate(copy.deepcopy(original(completion)), generator) for _ in range(MUTATIONS)]

    def request(number: int):
        if completion:
            return CompletionRequest(prompt_ids=(1, 2, number))
        return ask(f"{number}", top_logprobs=1)

    def script(body):
        number = body["prompt"][-1] if "prompt" in body else int(body["messages"][0]["content"])
        good = json.dumps(original("prompt" in body))
        return replies[number // 2] if number % 2 else Answer(body=good)

    server.follow(script)
    client = client_of(server, tries=1, concurrency=1)
    # A good answer before each mutated one, because eight failures in a row are taken for an outage.
    requests = [request(number) for number in range(2 * MUTATIONS)]
    results = client.complete(requests)
    assert all(isinstance(result, ChatReply | ChatFailure) for result in results)
    assert all(isinstance(result, ChatReply) for result in results[::2])
    for result in results:
        if isinstance(result, ChatReply):
            assert isinstance(result.text, str)
            (result.text + result.refusal + result.finish_reason).encode()
            assert result.tokens_in >= 0
            assert result.tokens_out >= 0
        else:
            assert result.error
    client.take_usage()
    check_cache(tmp_path / "cache" / "replies", [result for result in results if isinstance(result, ChatReply)])
    server.follow([Answer(status=500)])
    again = client_of(server, tries=1, concurrency=1).complete(
        [one for one, result in zip(requests, results, strict=True) if isinstance(result, ChatReply)]
    )
    assert [result.text for result in again] == [result.text for result in results if isinstance(result, ChatReply)]
    assert not server.bodies


def check_cache(folder, replies: list[ChatReply]) -> None:
    """There is one file for each reply, and all can be read."""
    cache = ReplyCache(folder, redact=str)
    files = list(folder.rglob("*.json"))
    assert len(files) == len(replies)
    assert sorted(cache.get(file.stem).text for file in files) == sorted(reply.text for reply in replies)
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_cache_file_is_read_or_replaced(server, ask, tmp_path, seed):
    generator = random.Random(seed)
    server.follow([answer("hello")])
    folder = tmp_path / "cache" / "replies"
    client_of(server).complete([ask()])
    (file,) = folder.rglob("*.json")
    content = file.read_bytes()
    for _ in range(MUTATIONS):
        mutate = generator.choice([of_other_types, with_missing_fields, with_nulls, cut_off, with_other_bytes])
        body = mutate(json.loads(content), generator).body
        file.write_bytes(body.encode() if isinstance(body, str) else body)
        (reply,) = client_of(server).complete([ask()])
        assert isinstance(reply, ChatReply)
        assert isinstance(reply.text, str)
        reply.text.encode()
