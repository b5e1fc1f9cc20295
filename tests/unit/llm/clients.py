"""Clients for tests."""

from leap_exp.config.endpoints import EndpointConfig
from leap_exp.llm import ChatClient

KEY_VARIABLE = "TEST_CHAT_KEY"
KEY = "sk-test-0123456789abcdef"


class Waits(list):
    """Stands in for waiting: notes how long, and returns at once."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client_of(server, *, waits: Waits | None = None, **settings) -> ChatClient:
    settings = {"key_variable": KEY_VARIABLE, "price_in": 2.0, "price_out": 8.0, **settings}
    client = EndpointConfig(base_url=server.url, model="m", **settings).build("teacher.endpoint")
    return ChatClient(client.endpoint, wait=Waits() if waits is None else waits)
