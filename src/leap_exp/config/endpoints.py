"""Schema of a model behind an OpenAI-compatible server, for the teachers and students that use one."""

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from leap_exp.config.schema import require_at_least, require_choice, setting
from leap_exp.core.errors import ConfigError

if TYPE_CHECKING:
    from leap_exp.llm import ChatClient

FREE_ENDPOINT_SETTINGS = (
    "key_variable",
    "concurrency",
    "timeout_seconds",
    "tries",
    "budget_dollars",
    "budget_requests",
)
"""Settings that do not change what is answered, so that a run may go on with others."""


@dataclass
class EndpointConfig:
    """A model behind an OpenAI-compatible server."""

    base_url: str = setting("???", "Address of the server, up to /v1.")
    model: str = setting("???", "Name of the model at the server.")
    key_variable: str | None = setting(None, "Environment variable that holds the key; null for a server without keys.")
    price_in: float | None = setting(None, "Dollars for a million tokens of prompt; null if unknown.")
    price_out: float | None = setting(None, "Dollars for a million tokens of answer; null if unknown.")
    concurrency: int = setting(8, "Requests under way at the same time.")
    timeout_seconds: float = setting(120.0, "Seconds that the server may be silent during a try.")
    tries: int = setting(6, "Tries of a request whose fault may pass, the first included.")
    budget_dollars: float | None = setting(None, "Dollars that one start of the run may spend here; null for no limit.")
    budget_requests: int | None = setting(None, "Requests that it may send, tries included; null for no limit.")
    temperature: float | None = setting(0.0, "Sampling temperature; null for the server's default.")
    max_tokens: int = setting(2048, "Tokens that an answer may have.")
    max_tokens_name: str = setting("max_tokens", "What the server calls that: max_tokens or max_completion_tokens.")
    structured_output: str = setting(
        "auto", "Whether the server can hold answers to a JSON schema: yes, no, or auto (ask, then go without)."
    )
    send_seed: bool = setting(True, "Whether the server takes a seed.")

    def __post_init__(self) -> None:
        """Refuse addresses and numbers that cannot be used, and a key in a place where it would be written down."""
        if self.base_url != "???":
            _check_url(self.base_url)
        # The value is not shown: it may be the key itself.
        if self.key_variable is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", self.key_variable):
            raise ConfigError(
                "endpoint.key_variable must be the NAME of an environment variable (in capitals, such as "
                "OPENAI_API_KEY), never a key."
            )
        for name in ("concurrency", "tries", "max_tokens"):
            require_at_least(f"endpoint.{name}", getattr(self, name), 1)
        for name in ("price_in", "price_out", "budget_dollars", "budget_requests", "temperature"):
            value = getattr(self, name)
            if value is not None:
                require_at_least(f"endpoint.{name}", value, 0)
        if not self.timeout_seconds > 0:
            require_at_least("endpoint.timeout_seconds", self.timeout_seconds, 1)
        if self.budget_dollars is not None and None in (self.price_in, self.price_out):
            raise ConfigError(
                f"endpoint.budget_dollars={self.budget_dollars} needs endpoint.price_in and endpoint.price_out; give "
                "them, or limit endpoint.budget_requests."
            )
        require_choice("endpoint.max_tokens_name", self.max_tokens_name, ("max_tokens", "max_completion_tokens"))
        require_choice("endpoint.structured_output", self.structured_output, ("yes", "no", "auto"))

    def build(self, where: str) -> "ChatClient":
        """The client; ``where`` these settings stand (``teacher.endpoint``) is for its messages.

        Raises:
            ProviderError: the key is not set.
        """
        from leap_exp.llm import ChatClient, Endpoint

        settings = {**asdict(self), "base_url": self.base_url.rstrip("/")}
        return ChatClient(Endpoint(setting=where, **settings))


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        # Not shown: it would be written to the run folder with the rest of the configuration.
        raise ConfigError(
            "endpoint.base_url holds a user, a password or a query; keys belong in endpoint.key_variable."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"endpoint.base_url={url} is not the address of a server, such as http://127.0.0.1:8000/v1.")
