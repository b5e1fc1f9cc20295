"""A server with a model, how to speak to it, and what it costs."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from leap_exp.core.errors import ProviderError

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model behind an OpenAI-compatible server; ``leap_exp.config.endpoints`` documents the settings one by one.

    ``setting`` is where they stand in the configuration (``teacher.endpoint``), for messages.
    """

    setting: str
    base_url: str
    model: str
    key_variable: str | None
    price_in: float | None
    price_out: float | None
    concurrency: int
    timeout_seconds: float
    tries: int
    budget_dollars: float | None
    budget_requests: int | None
    temperature: float | None
    max_tokens: int
    max_tokens_name: str
    structured_output: str
    send_seed: bool

    @property
    def name(self) -> str:
        """The model and its server, as they may be shown."""
        return f"{self.model} at {urlsplit(self.base_url).netloc}"

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Dollars for so many tokens at list price, None if that is unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / _MILLION

    def key(self) -> str | None:
        """The key, from the environment; None for a server without keys.

        Raises:
            ProviderError: the variable is not set.
        """
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise ProviderError(
                f"{self.name} needs a key, but the environment has no {self.key_variable}: set it, or name another "
                f"variable with {self.setting}.key_variable."
            )
        return key
