"""Replies on disk, so that no request is sent, and paid for, twice.

Each reply is one JSON file that any number of processes, also on a shared file system, can read and write. diskcache is
not used: it keeps its entries in SQLite, which network file systems do not lock reliably.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from leap_exp.core.text import map_texts, valid_text
from leap_exp.llm.messages import ChatReply, TokenLogprob
from leap_exp.runs import storing

logger = logging.getLogger(__name__)

CACHE_VERSION = 1
"""Part of every key. Replies of another version are not found."""


def cache_key(url: str, body: Mapping[str, object], *, attempt: int) -> str:
    """Return the SHA-256 of everything an answer depends on: the server's address, the request body, the attempt."""
    parts = {"version": CACHE_VERSION, "endpoint": url, "body": body, "attempt": attempt}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class ReplyCache:
    """A folder with one file per reply, named by its key.

    Args:
        folder: The folder, which need not exist.
        redact: Removes parts of the API key from the texts of a request. Replies have none.
    """

    def __init__(self, folder: Path, *, redact: Callable[[str], str]) -> None:
        self._folder = folder
        self._redact = redact

    def get(self, key: str) -> ChatReply | None:
        """Return the reply to ``key``, marked as cached; None if there is none or its file cannot be used."""
        path = self._path(key)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))["reply"]
            logprobs = data.pop("logprobs")
            # Replies of earlier versions have no token ids.
            token_ids = data.pop("token_ids", None)
            reply = ChatReply(
                **data,
                logprobs=logprobs and tuple(TokenLogprob(**token) for token in logprobs),
                token_ids=token_ids and tuple(token_ids),
            )
            # Earlier versions stored lone surrogates.
            return replace(reply, text=valid_text(reply.text), refusal=valid_text(reply.refusal), cached=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            logger.warning("Cannot use the cached reply %s (%s); the request is sent again.", path, error)
            return None

    def put(self, key: str, body: Mapping[str, object], reply: ChatReply) -> None:
        """Store ``reply`` to ``body`` under ``key``. The file is complete or not there at all."""
        path = self._path(key)
        # Two processes may store the same key: each writes its own part file, and the last rename wins.
        part = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}.part")
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                json.dump({"body": map_texts(self._redact, dict(body)), "reply": asdict(reply)}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    def __contains__(self, key: str) -> bool:
        """Whether there is a file for ``key``."""
        return self._path(key).exists()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
