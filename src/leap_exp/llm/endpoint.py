"""The settings of a model behind an OpenAI-compatible server."""

import os
import re
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlsplit

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.settings import MISSING, Settings, setting

FREE_ENDPOINT_SETTINGS = (
    "base_urls",
    "key_variable",
    "concurrency",
    "timeout_seconds",
    "tries",
    "budget_dollars",
    "budget_requests",
)
"""Settings that do not change the answers, so that a resumed run may change them."""

_MILLION = 1_000_000
_UNUSABLE_IN_KEY = re.compile(r"""[^!-~]|^["'`]|["'`]\Z""")
"""What is not visible ASCII, and quotes around the key."""


@dataclass
class Endpoint(Settings):
    """A model behind an OpenAI-compatible server."""

    place: ClassVar[str] = "endpoint"

    base_url: str = setting(MISSING, "Address of the server, up to /v1.")
    model: str = setting(MISSING, "Name of the model at the server.")
    key_variable: str | None = setting(None, "Environment variable with the API key; null for a server without keys.")
    price_in: float | None = setting(None, "Dollars per million prompt tokens; null if unknown.", minimum=0)
    price_out: float | None = setting(None, "Dollars per million answer tokens; null if unknown.", minimum=0)
    base_urls: list[str] | None = setting(
        None, "Addresses of several servers with this model, which share the requests; null for base_url alone."
    )
    concurrency: int = setting(8, "Maximum requests in flight, for each server.", minimum=1)
    timeout_seconds: float = setting(120.0, "Seconds without data after which a try is given up.", above=0)
    tries: int = setting(6, "Maximum tries per request, for errors that may pass.", minimum=1)
    budget_dollars: float | None = setting(
        None, "Maximum dollars to spend here per start of the run; null for no limit.", minimum=0
    )
    budget_requests: int | None = setting(
        None, "Maximum requests per start of the run, retries included; null for no limit.", minimum=0
    )
    temperature: float | None = setting(0.0, "Sampling temperature; null for the server's default.", minimum=0)
    max_tokens: int = setting(2048, "Maximum tokens of an answer.", minimum=1)
    max_tokens_name: str = setting(
        "max_tokens",
        "The server's name for that limit: max_tokens or max_completion_tokens.",
        choices=("max_tokens", "max_completion_tokens"),
    )
    structured_output: str = setting(
        "auto",
        "Whether to send JSON schemas: yes, no, or auto (send them unless the server rejects them).",
        choices=("yes", "no", "auto"),
    )
    send_seed: bool = setting(True, "Whether to send a seed; false for servers that reject one.")

    def check_together(self) -> None:
        """Check the address, the name of the key's variable, and that a budget in dollars comes with prices."""
        if self.base_urls is not None and not self.base_urls:
            raise ConfigError(f"{self.setting_name('base_urls')}=[] has no address; give some, or null.")
        if self.base_url != MISSING:
            self._check_url("base_url", self.base_url)
        for url in self.base_urls or ():
            self._check_url("base_urls", url)
        # The value is not shown, because it may be the key itself.
        if self.key_variable is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", self.key_variable):
            raise ConfigError(
                f"{self.setting_name('key_variable')} must be the NAME of an environment variable (upper case, such as "
                "OPENAI_API_KEY), never a key."
            )
        if self.budget_dollars is not None and None in (self.price_in, self.price_out):
            raise ConfigError(
                f"{self.setting_name('budget_dollars')}={self.budget_dollars} needs prices: set "
                f"{self.setting_name('price_in')} and {self.setting_name('price_out')}, or use "
                f"{self.setting_name('budget_requests')}."
            )

    def _check_url(self, field: str, url: str) -> None:
        name, parts = self.setting_name(field), urlsplit(url)
        if parts.username or parts.password or parts.query:
            # Not shown either, because the configuration is written to the run folder.
            raise ConfigError(
                f"{name} contains a user, a password or a query; keys belong in {self.setting_name('key_variable')}."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{name}={url} is not a server address such as http://127.0.0.1:8000/v1.")

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return self.base_url.rstrip("/")

    @property
    def replicas(self) -> "list[Endpoint]":
        """An endpoint for each server: those at ``base_urls``, or this one."""
        if self.base_urls is None:
            return [self]
        return [replace(self, base_url=url, base_urls=None) for url in dict.fromkeys(self.base_urls)]

    @property
    def name(self) -> str:
        """The model and its server, for messages."""
        return f"{self.model} at {urlsplit(self.base_url).netloc}"

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Return the list price of these tokens in dollars, or None if it is unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / _MILLION

    def key(self, place: str = place) -> str | None:
        """Return the API key, or None for a server without keys.

        Raises:
            ProviderError: The environment variable is not set, or its value cannot be sent in a header.
        """
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise ProviderError(
                f"{self.name} needs a key, but the environment variable {self.key_variable} is not set. Set it, or "
                f"name another one with {place}.key_variable."
            )
        unusable = _UNUSABLE_IN_KEY.search(key)
        if unusable:
            # Only this character is shown.
            raise ProviderError(
                f"The key in the environment variable {self.key_variable} cannot be sent to {self.name}, because it "
                f"contains {unusable[0]!r}. Set {self.key_variable} to the key alone, without quotes, spaces or line "
                "breaks."
            )
        return key
