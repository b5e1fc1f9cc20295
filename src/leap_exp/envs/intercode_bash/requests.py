"""Requests: what is asked for in words, the gold command, and the file tree that it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.trees import FileTree

SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``id`` is unique in its collection; ``kind`` groups requests in results."""

    id: str
    split: str
    kind: str
    query: str
    gold: str
    tree: str

    def __post_init__(self) -> None:
        """Refuse a request that asks for nothing or that nothing answers."""
        if not self.query.strip() or not self.gold.strip():
            raise DataError(f"The request {self.id!r} needs a query and a gold command.")
        if self.split not in SPLITS:
            raise DataError(f"The request {self.id!r} is of the split {self.split!r}: none of {', '.join(SPLITS)}.")


@dataclass(frozen=True, slots=True)
class Collection:
    """Requests, and the file trees that they are about, by name."""

    requests: Sequence[Request]
    trees: Mapping[str, FileTree]
