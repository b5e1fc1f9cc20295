"""Replies on disk, so that nothing is asked, and paid for, twice."""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from leap_exp.llm.records import ChatReply, TokenLogprob
from leap_exp.store import storing

logger = logging.getLogger(__name__)

CACHE_VERSION = 1
"""Part of every key: replies of another version are not found, and asked for anew."""


def cache_key(endpoint: str, body: Mapping[str, object], *, attempt: int) -> str:
    """SHA-256 over all that an answer depends on: the server's address, what is sent to it, and which try it is."""
    asked = {"version": CACHE_VERSION, "endpoint": endpoint, "body": body, "attempt": attempt}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


class ReplyCache:
    """A folder with a file for each reply, named by its key; any number of processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> ChatReply | None:
        """The reply kept under ``key``, marked as cached; None if there is none, or a broken file in its place."""
        path = self._path(key)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))["reply"]
            logprobs = data.pop("logprobs")
            reply = ChatReply(**data, logprobs=logprobs and tuple(TokenLogprob(**token) for token in logprobs))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("The cached reply %s cannot be read (%s) and is asked for again.", path, error)
            return None
        return replace(reply, cached=True)

    def put(self, key: str, body: Mapping[str, object], reply: ChatReply) -> None:
        """Keep ``reply`` to ``body`` under ``key``; the file is there whole or not at all."""
        path = self._path(key)
        # Two processes may have asked the same: each writes its own file, and the second to be renamed stays.
        part = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}.part")
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                json.dump({"body": body, "reply": asdict(reply)}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    def __contains__(self, key: str) -> bool:
        """Whether there is a file for ``key``."""
        return self._path(key).exists()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
