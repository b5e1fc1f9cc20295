"""The sessions of those who shop in a browser, by the id in their pages' addresses."""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict

from leap_exp.core.errors import ConfigError
from leap_exp.envs.webshop.shop import Session, Shop

VISITS = 200
"""So many are kept; then the one that was left alone longest goes."""

_SHOWN = 40
_NUMBER = re.compile(r"\s*[0-9]{1,9}\s*")


def goal_number(text: str, count: int) -> int:
    """The number of a goal that somebody typed.

    Raises:
        ConfigError: It is no number, or there is no such goal among ``count``.
    """
    if not _NUMBER.fullmatch(text) or int(text) >= count:
        raise ConfigError(f"There is no goal {text[:_SHOWN]!r}: give a number from 0 to {count - 1}.")
    return int(text)


class Visit:
    """A session with the number of actions so far; ``lock`` is to be held while either is looked at."""

    def __init__(self, session: Session, *, goal_index: int) -> None:
        self.id = secrets.token_urlsafe(9)
        self.session, self.goal_index = session, goal_index
        self.actions = 0
        self.lock = threading.Lock()

    def act(self, action: str, *, after: str) -> None:
        """Carry out ``action`` if it comes from the page shown ``after`` so many actions.

        A page that was left by the browser's back button, or a button pressed twice, would otherwise do something
        else than it says.
        """
        with self.lock:
            if after == str(self.actions) and not self.session.done:
                self.session.step(action)
                self.actions += 1


class Visits:
    """All visits to a shop; threads may share it."""

    def __init__(self, shop: Shop, *, limit: int = VISITS) -> None:
        self._shop, self._limit = shop, limit
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, goal_index: int) -> Visit:
        """Begin a visit for the goal at ``goal_index``."""
        visit = Visit(self._shop.open(goal_index), goal_index=goal_index)
        with self._lock:
            self._visits[visit.id] = visit
            while len(self._visits) > self._limit:
                self._visits.popitem(last=False)
        return visit

    def find(self, visit_id: str) -> Visit | None:
        """The visit with that id; None if there never was one, or it had to go."""
        with self._lock:
            visit = self._visits.get(visit_id)
            if visit:
                self._visits.move_to_end(visit_id)
            return visit
