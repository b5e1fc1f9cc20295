"""Keeps an API key out of everything that is shown, logged or stored."""

import logging
from collections.abc import Iterable

SHOWN_PART = 7
"""Longest part of a key that may be shown. Shorter keys are placeholders such as EMPTY, which any text may contain."""

_LIBRARIES = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")


class Redactor:
    """Replaces parts of a key in texts."""

    def __init__(self, key: str | None) -> None:
        self._parts = frozenset(_parts(key or ""))

    def __call__(self, text: str) -> str:
        """Return ``text`` with every part of the key that is longer than ``SHOWN_PART`` replaced by ``[key]``."""
        if not self._parts:
            return text
        pieces: list[str] = []
        shown = end = 0
        for start, part in enumerate(_parts(text)):
            if part not in self._parts:
                continue
            if start > end or not pieces:
                pieces += [text[shown:start], "[key]"]
            shown = end = start + len(part)
        return "".join([*pieces, text[shown:]])

    def hide_in_logs(self) -> None:
        """Replace parts of the key in what the client libraries log from now on."""
        _LOG_FILTER.redactors[self._parts] = self
        for name in list(logging.root.manager.loggerDict):
            if name.partition(".")[0] in _LIBRARIES:
                logging.getLogger(name).addFilter(_LOG_FILTER)


def _parts(text: str) -> Iterable[str]:
    size = SHOWN_PART + 1
    return (text[start : start + size] for start in range(len(text) - size + 1))


class _LogFilter(logging.Filter):
    """Applies the redactors of all clients of this process to log records."""

    def __init__(self) -> None:
        super().__init__()
        self.redactors: dict[frozenset[str], Redactor] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redacted(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = self._redacted(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True

    def _redacted(self, text: str) -> str:
        for redact in list(self.redactors.values()):
            text = redact(text)
        return text


_LOG_FILTER = _LogFilter()
