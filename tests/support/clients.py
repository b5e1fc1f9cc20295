"""Clients for tests."""

from leap_exp.llm import ChatClient, Endpoint

KEY_VARIABLE = "TEST_CHAT_KEY"
KEY = "sk-test-0123456789abcdef"


class Waits(list):
    """Replaces waiting: records the seconds and returns at once."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client_of(server, *, waits: Waits | None = None, **settings) -> ChatClient:
    """A client of ``server`` that does not really wait."""
    settings = {"key_variable": KEY_VARIABLE, "price_in": 2.0, "price_out": 8.0, **settings}
    endpoint = Endpoint(base_url=server.url, model="m", **settings)
    return ChatClient(endpoint, place="teacher.endpoint", wait=Waits() if waits is None else waits)
