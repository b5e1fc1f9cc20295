"""No part of a key is shown, logged, raised or stored, whatever goes wrong; and unusable connections are explained."""

import importlib
import inspect
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import traceback

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.llm import AdapterServer, ChatClient, ChatFailure, Endpoint
from leap_exp.llm.secret import Redactor
from tests.support import fault_server as faults
from tests.support.clients import KEY, KEY_VARIABLE, client_of
from tests.support.fault_server import Answer, answer, error

PARTS = {KEY[start : start + 8] for start in range(len(KEY) - 7)}


def leaks(text: str) -> bool:
    return any(part in text for part in PARTS)


def chain(error: BaseException | None) -> list[BaseException]:
    """The error with all its causes and contexts."""
    if error is None:
        return []
    return [error, *chain(error.__cause__), *chain(error.__context__)]


def shown(error: BaseException) -> list[str]:
    """Everything that can be shown of an error."""
    texts = [*traceback.format_exception(error), logging.Formatter().formatException((type(error), error, None))]
    for one in chain(error):
        attributes = {name: value for name, value in vars(one).items() if not name.startswith("__")}
        texts += [str(one), repr(one), repr(one.args), repr(attributes), *getattr(one, "__notes__", ())]
    return texts


def stored(folder) -> list[str]:
    return [file.read_text() for file in folder.rglob("*") if file.is_file()]


LIBRARIES = ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "ssl", "socket", "json", "anyio", "pydantic")


def exception_classes() -> list[type[Exception]]:
    """The exception classes of the client's libraries, and Python's own."""
    found = set(subclasses(OSError)) | set(subclasses(ValueError)) | set(subclasses(RuntimeError))
    found |= {Exception, TypeError, KeyError, LookupError, AttributeError, ImportError, RecursionError, MemoryError}
    for name in LIBRARIES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for value in list(vars(module).values()):
            if inspect.isclass(value) and issubclass(value, Exception):
                found.add(value)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def subclasses(kind: type) -> list[type]:
    return [
        kind,
        *(deeper for one in kind.__subclasses__() if one.__module__ == "builtins" for deeper in subclasses(one)),
    ]


def construct(kind: type[Exception]) -> Exception | None:
    """An error of this class that holds the key wherever it can hold a text; None if it has another signature."""
    text = f"Authorization: Bearer {KEY} was refused"
    http = importlib.import_module("openai._base_client").__dict__.get("httpx2") or importlib.import_module("httpx")
    request = http.Request("POST", f"http://127.0.0.1/{KEY}", headers={"Authorization": f"Bearer {KEY}"})
    body = {"message": text, "code": KEY, "type": KEY, KEY: [KEY]}
    response = http.Response(400, request=request, headers={"x-key": KEY}, text=text)
    for arguments, named in (
        ((text,), {"request": request}),
        ((text,), {"response": response, "body": body}),
        ((), {"response": response, "body": body}),
        ((), {"message": text, "request": request}),
        ((), {"request": request}),
        ((text,), {"request": request, "response": response}),
        ((text,), {"request": request, "body": body}),
        ((text, text, 0), {}),
        (("utf-8", text.encode(), 0, 1, text), {}),
        (("utf-8", text, 0, 1, text), {}),
        ((5, text, text), {}),
        ((text,), {}),
        ((), {}),
    ):
        try:
            return kind(*arguments, **named)
        except Exception:  # noqa: BLE001 - another signature
            continue
    return None


class Raising:
    """Replaces the client library: every call raises an error whose cause and notes hold the key too."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name):
        return self if name in ("chat", "completions", "models", "with_raw_response") else self._raise

    def _raise(self, *arguments, **named):
        authorization = f"Bearer {KEY}"  # In the frame, as in a library's.
        self._error.add_note(authorization)
        try:
            raise ValueError(f"Illegal header value b'{authorization}'")
        except ValueError as cause:
            raise self._error from cause


def test_no_exception_that_a_client_can_meet_shows_the_key(server, ask, tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    server.follow([answer("fine")])
    tested = set()
    client = client_of(server, tries=2)
    client.complete([ask("first")])
    adapters = AdapterServer(client.endpoint)
    for number, kind in enumerate(exception_classes()):
        error = construct(kind)
        if error is None:
            continue
        client._server._client = adapters._client = Raising(error)
        client._failures_in_a_row = 0
        try:
            (result,) = client.complete([ask(f"{number}")])
        except ProviderError as raised:
            texts = shown(raised)
            logging.getLogger("leap_exp").exception("a crash")
        else:
            assert isinstance(result, ChatFailure)
            texts = [result.error, repr(result)]
        for call in (adapters.models, lambda: adapters.check_adapters(rank=8), lambda: adapters.load("name", tmp_path)):
            try:
                call()
            except ProviderError as raised:
                texts += shown(raised)
        assert not any(map(leaks, texts)), kind
        tested.add(kind.__name__)
    assert {"APIConnectionError", "APITimeoutError", "AuthenticationError", "RateLimitError", "OpenAIError"} <= tested
    assert {
        "ConnectError",
        "LocalProtocolError",
        "ReadTimeout",
        "SSLError",
        "UnicodeEncodeError",
        "JSONDecodeError",
    } <= tested
    assert {
        "APIResponseValidationError",
        "HTTPStatusError",
        "TooManyRedirects",
        "InvalidURL",
        "DecodingError",
    } <= tested
    assert len(tested) > 80
    output = capfd.readouterr()
    assert not any(map(leaks, [caplog.text, output.out, output.err, *stored(tmp_path)]))


HEADERS = {"X-Key": KEY, "Set-Cookie": f"key={KEY}"}
ECHOES = {
    "in the answer": answer(f"you sent {KEY} and {KEY[3:15]}"),
    "escaped": Answer(body=answer("KEY").body.replace("KEY", "".join(f"\\u{ord(letter):04x}" for letter in KEY))),
    "in parts": faults.of_message({"content": [{"type": "text", "text": KEY[:9]}, {"type": "text", "text": KEY[9:]}]}),
    "as the reason to stop": answer(finish_reason=KEY),
    "in a refusal": answer(None, refusal=KEY),
    "in log-probabilities": answer("a", logprobs={"content": [{"token": KEY, "logprob": 0.0}]}),
    "in a header": answer(headers=HEADERS),
    "in something unreadable": Answer(body=f"no JSON but {KEY}"),
    "in broken JSON": Answer(body=f'{{"choices": [{{"message": {{"content": "{KEY}'),
    "cut in the middle": Answer(body="x" * 290 + KEY),
    **{
        f"in a {status}": error(status, f"Authorization: Bearer {KEY}", code=KEY, headers=HEADERS)
        for status in (400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 503)
    },
    "in part, as OpenAI does": error(401, f"Incorrect API key provided: {KEY[:10]}****{KEY[-9:]}"),
    "in a list": Answer(status=400, body=json.dumps([KEY, {KEY: KEY}])),
    "in a page": Answer(status=502, body=f"<html>{KEY}", content_type="text/html"),
    "in a redirect": Answer(status=307, headers={"Location": f"/elsewhere/{KEY}"}),
    "in an endless redirect": Answer(status=302, headers={"Location": f"http://127.0.0.1:1/{KEY}"}),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_no_answer_of_a_server_shows_the_key(server, ask, tmp_path, caplog, capfd, echo):
    caplog.set_level("DEBUG")
    server.follow([answer("fine"), echo])
    client = client_of(server, concurrency=1, tries=2)
    try:
        _, result = client.complete([ask("first"), ask("second", top_logprobs=1)])
        texts = [repr(result), result.error if isinstance(result, ChatFailure) else result.text]
    except ProviderError as raised:
        texts = shown(raised)
        logging.getLogger("leap_exp").exception("a crash")
    output = capfd.readouterr()
    for text in (*texts, caplog.text, output.out, output.err, repr(client.endpoint), *stored(tmp_path)):
        assert not leaks(text)


def test_a_key_in_a_request_is_sent_but_not_stored(server, ask, tmp_path):
    server.follow([answer()])
    client_of(server).complete([ask(f"the environment has {KEY}")])
    assert KEY in server.bodies[0]["messages"][0]["content"]
    assert not any(map(leaks, stored(tmp_path)))


EVERYTHING_LOGGED = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from leap_exp.llm import ChatClient, ChatRequest, Endpoint, Message
from tests.support.clients import KEY_VARIABLE
endpoint = Endpoint(base_url=sys.argv[1], model="m", key_variable=KEY_VARIABLE, tries=1, concurrency=1)
requests = [ChatRequest(messages=(Message(role="user", text=f"{index}"),)) for index in range(3)]
for result in ChatClient(endpoint).complete(requests):
    print(result)
raise RuntimeError("a crash")
"""


def test_the_libraries_do_not_log_the_key_even_when_they_log_everything(server):
    server.follow([answer(headers=HEADERS), error(500, KEY, headers=HEADERS), Answer(body=KEY, headers=HEADERS)])
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING_LOGGED, server.url],
        env={**os.environ, "OPENAI_LOG": "debug", KEY_VARIABLE: KEY},
        capture_output=True,
        text=True,
    )
    assert "a crash" in done.stderr
    assert "DEBUG" in done.stderr
    assert "x-key" in done.stderr.lower()
    assert not leaks(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("sk-test", "sk-test"),
        (KEY[:7] + " " + KEY[-7:], KEY[:7] + " " + KEY[-7:]),
        (KEY, "[key]"),
        (f"a{KEY}b{KEY[2:11]}c", "a[key]b[key]c"),
        (KEY[5:13] + KEY[:8], "[key]"),
    ],
)
def test_every_part_of_eight_characters_is_replaced(text, expected):
    assert Redactor(KEY)(text) == expected


@pytest.mark.parametrize("key", [None, "", "EMPTY", "no-keys"])
def test_placeholders_are_ordinary_words(key):
    assert Redactor(key)(f"the {key} of no-keys") == f"the {key} of no-keys"


UNUSABLE_KEYS = {
    "curly quotes": "\u201c" + KEY + "\u201d",
    "an early line break": KEY[:4] + "\n" + KEY[4:],
    "a late line break": KEY[:-2] + "\r\n" + KEY[-2:],
    "a space": f"Bearer {KEY}",
    "quotes": f'"{KEY}"',
    "one quote": f"{KEY}'",
    "a tab": KEY[:9] + "\t" + KEY[9:],
    "a control character": KEY + "\x7f" + "x",
    "an invisible space": "\u200b" + KEY,
    "another alphabet": "ключ" + KEY,
    "undecodable bytes": KEY + "\udcff",
}


@pytest.mark.parametrize("key", UNUSABLE_KEYS.values(), ids=UNUSABLE_KEYS.keys())
def test_a_key_that_cannot_be_sent_is_one_error_that_names_its_variable(server, key, monkeypatch, caplog, capfd):
    monkeypatch.setenv(KEY_VARIABLE, key)
    caplog.set_level("DEBUG")
    for build in (client_of, lambda server: AdapterServer(client_settings(server))):
        with pytest.raises(ProviderError, match=f"{KEY_VARIABLE} cannot be sent") as caught:
            build(server)
        output = capfd.readouterr()
        for text in (*shown(caught.value), caplog.text, output.out, output.err):
            assert not leaks(text)
            assert not leaks(text.replace("\n", ""))
    assert not server.bodies


def client_settings(server) -> Endpoint:
    return Endpoint(base_url=server.url, model="m", key_variable=KEY_VARIABLE)


def test_white_space_around_a_key_is_removed(server, ask, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, f" {KEY}\n")
    server.follow([answer()])
    client_of(server).complete([ask()])
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


PROXY_PASSWORD = "proxy-password-1"
CONNECTIONS = {
    "SOCKS": ("ALL_PROXY", f"socks5://user:{PROXY_PASSWORD}@127.0.0.1:1080", "socksio"),
    "SOCKS, small letters": ("all_proxy", "socks5h://127.0.0.1:1080", "socksio"),
    "another scheme": ("HTTP_PROXY", f"ftp://user:{PROXY_PASSWORD}@proxy", "http://HOST:PORT"),
    "no port": ("HTTPS_PROXY", f"http://user:{PROXY_PASSWORD}@proxy:none", "http://HOST:PORT"),
    "a password with a colon": ("http_proxy", f"http://user:{PROXY_PASSWORD}", "http://HOST:PORT"),
    "no such certificates": ("SSL_CERT_FILE", "/nowhere.pem", "unset"),
    "a folder as certificates": ("SSL_CERT_FILE", "/tmp", "unset"),
    "a file without certificates": ("SSL_CERT_FILE", __file__, "unset"),
}


@pytest.mark.parametrize(("variable", "value", "way_out"), CONNECTIONS.values(), ids=CONNECTIONS.keys())
def test_a_variable_that_prevents_connections_is_named(server, monkeypatch, variable, value, way_out):
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ProviderError, match=rf"{variable}") as caught:
        client_of(server)
    assert way_out in str(caught.value)
    assert not any(PROXY_PASSWORD in text for text in shown(caught.value))


def test_a_proxy_that_can_be_used_is_not_blamed(server, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ProviderError, match="variable ALL_PROXY needs"):
        client_of(server)


def test_what_else_prevents_connections_is_one_error_too(server, monkeypatch):
    import openai

    def fail(*arguments, **named):
        raise ssl.SSLError(f"strange {KEY}")

    monkeypatch.setattr(openai, "OpenAI", fail)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with pytest.raises(ProviderError, match=r"can be set up: SSLError: .*strange") as caught:
        client_of(server)
    assert not any(map(leaks, shown(caught.value)))


def test_a_server_that_speaks_no_http_is_one_error(ask):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        endpoint = Endpoint(base_url=f"https://127.0.0.1:{port}/v1", model="m", tries=1, timeout_seconds=0.5)
        with pytest.raises(ProviderError, match="None of the first 1 requests was answered"):
            ChatClient(endpoint).complete([ask()])
