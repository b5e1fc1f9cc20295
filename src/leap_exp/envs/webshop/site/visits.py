"""The sessions of visitors to the web site, by the id in their pages' addresses."""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict

from leap_exp.core.errors import ConfigError
from leap_exp.envs.webshop.engine.shop import Session, Shop

MAX_VISITS = 200
"""Maximum number of visits; beyond it, the one that was idle longest is deleted."""

_SHOWN_CHARACTERS = 40
_NUMBER = re.compile(r"\s*[0-9]{1,9}\s*")


def goal_number(text: str, count: int) -> int:
    """Return the goal number that a user typed.

    Raises:
        ConfigError: ``text`` is not a number below ``count``.
    """
    if not _NUMBER.fullmatch(text) or int(text) >= count:
        raise ConfigError(f"There is no goal {text[:_SHOWN_CHARACTERS]!r}: choose a number from 0 to {count - 1}.")
    return int(text)


class Visit:
    """A session and the number of actions so far; hold ``lock`` while reading them."""

    def __init__(self, session: Session, *, goal_index: int) -> None:
        self.id = secrets.token_urlsafe(9)
        self.session, self.goal_index = session, goal_index
        self.actions = 0
        self.lock = threading.Lock()

    def act(self, action: str, *, after: str) -> None:
        """Take ``action`` if it comes from the current page, which was shown ``after`` that many actions.

        Otherwise an old page (after the browser's back button, or a double click) would act on the wrong page.
        """
        with self.lock:
            if after == str(self.actions) and not self.session.done:
                self.session.step(action)
                self.actions += 1


class Visits:
    """All visits to a shop; safe to share between threads."""

    def __init__(self, shop: Shop, *, limit: int = MAX_VISITS) -> None:
        self._shop, self._limit = shop, limit
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, goal_index: int) -> Visit:
        """Start a visit for the goal at ``goal_index``."""
        visit = Visit(self._shop.open(goal_index), goal_index=goal_index)
        with self._lock:
            self._visits[visit.id] = visit
            while len(self._visits) > self._limit:
                self._visits.popitem(last=False)
        return visit

    def find(self, visit_id: str) -> Visit | None:
        """Return the visit with that id, or None if it does not exist or was deleted."""
        with self._lock:
            visit = self._visits.get(visit_id)
            if visit:
                self._visits.move_to_end(visit_id)
            return visit
