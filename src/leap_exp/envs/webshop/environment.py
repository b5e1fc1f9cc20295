"""WebShop as an environment: its goals as tasks, their sessions, and what is known about them at training time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import overload

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.protocols import Oracle
from leap_exp.core.types import QUERY_SLOT, Observation, PrivilegedFacts, Task, Transition
from leap_exp.envs.selection import index_range
from leap_exp.envs.webshop.facts import privileged_facts
from leap_exp.envs.webshop.goals import DEFAULT_PRICE_SEED, SPLITS, Goal, GoalKind, GoalList
from leap_exp.envs.webshop.library import open_catalogue
from leap_exp.envs.webshop.oracle import WebShopOracle
from leap_exp.envs.webshop.pages import ObservationMode, Role
from leap_exp.envs.webshop.shop import Place, Session, Shop

_ID = re.compile(r"webshop/(\w+)/(\d+)-([0-9a-f]{8})")
_ORACLES_IN_MEMORY = 1024


class WebShopEnvironment:
    """Buying what an instruction asks for, in the original's text mode.

    Args:
        catalogue: "builtin", "1000" or "all" (installed ones), or the path of a catalogue.
        goals: "human" or "synthetic".
        observation: "text" or "text_rich".
        item_names: Whether results are clicked by name; ids always work.
        price_seed: Seed of prices and price limits.
        builtin_seed: Seed of the built-in catalogue.
        select: The goals of a split to keep, an index range such as "0:50"; empty for all.

    Raises:
        ConfigError: A value is unknown.
        DataError: The catalogue is not there or cannot be read.
    """

    name = "webshop"
    revisits = 1

    def __init__(
        self,
        *,
        catalogue: str = "builtin",
        goals: str = "human",
        observation: str = "text",
        item_names: bool = True,
        price_seed: int = DEFAULT_PRICE_SEED,
        builtin_seed: int = 0,
        select: str = "",
    ) -> None:
        for value, known in ((goals, GoalKind), (observation, ObservationMode)):
            if value not in [*known]:
                raise ConfigError(f"Unknown value {value!r}: choose one of {', '.join(known)}.")
        self._kind, self._mode = GoalKind(goals), ObservationMode(observation)
        self._item_names = item_names
        self._source, self._builtin_seed, self._price_seed = catalogue, builtin_seed, price_seed
        kept = index_range(select or ":")
        if kept is None:
            raise ConfigError(f"select={select!r} is no range of goals: give one such as 0:50.")
        self._select, self._kept = select, kept
        self._oracle = lru_cache(_ORACLES_IN_MEMORY)(self._make_oracle)

    @cached_property
    def _shop(self) -> Shop:
        catalogue = open_catalogue(self._source, builtin_seed=self._builtin_seed)
        return Shop(catalogue, GoalList(catalogue, kind=self._kind, price_seed=self._price_seed))

    def tasks(self, split: str) -> Sequence[Task]:
        """The goals of ``split``, in the original's order; read one by one, for there may be a million of them.

        Raises:
            ConfigError: There is no such split, or the selection leaves no goal of it.
        """
        if split not in SPLITS:
            raise ConfigError(f"Unknown split {split!r}: choose one of {', '.join(SPLITS)}.")
        goals = self._shop.goals.split(split)
        if not goals[self._kept]:
            raise ConfigError(f"No goal of the split {split!r} ({len(goals)}) is left by select={self._select!r}.")
        return _Tasks(self, split, goals[self._kept])

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[WebShopEpisode]:
        """Start a session for the goal of ``task``; ``seed`` matters to ``search[<r>]`` alone."""
        yield WebShopEpisode(
            self._shop.open(self._index(task), mode=self._mode, seed=seed), item_names=self._item_names
        )

    def privileged(self, task: Task) -> PrivilegedFacts:
        """What is wanted, apart, and a product that satisfies it."""
        goal = self._shop.goals.goal(self._index(task))
        return privileged_facts(task.id, goal, price=self._shop.goals.price(goal.row))

    def oracle(self, task: Task) -> Oracle:
        """The scripted expert for ``task``."""
        return self._oracle(task)

    def task(self, split: str, index: int) -> Task:
        """The goal at ``index`` of the whole list as a task of ``split``.

        The id ends with a digest of all that the reward depends on, so that a panel's hash covers it.
        """
        goal = self._shop.goals.goal(index)
        return Task(
            id=f"webshop/{self._kind}/{index}-{self._digest(goal)}",
            split=split,
            instruction=goal.instruction,
            kind=goal.category,
        )

    def _digest(self, goal: Goal) -> str:
        options = dict(goal.options) if isinstance(goal.options, Mapping) else list(goal.options)
        price = self._shop.goals.price(goal.row)
        contents = [goal.asin, goal.attributes, options, goal.price_limit, price]
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:8]

    def _index(self, task: Task) -> int:
        found = _ID.fullmatch(task.id)
        index = int(found[2]) if found else -1
        if not found or found[1] != self._kind or index >= len(self._shop.goals):
            raise DataError(f"The task {task.id!r} is none of this shop's {self._kind} goals.")
        if found[3] != self._digest(self._shop.goals.goal(index)):
            raise DataError(f"The task {task.id!r} is of another catalogue, or of another env.price_seed.")
        return index

    def _make_oracle(self, task: Task) -> Oracle:
        return WebShopOracle(self._shop, self._index(task))


class _Tasks(Sequence[Task]):
    """The tasks of a split, each made when it is asked for."""

    def __init__(self, environment: WebShopEnvironment, split: str, goals: range) -> None:
        self._environment, self._split, self._goals = environment, split, goals

    def __len__(self) -> int:
        return len(self._goals)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        """The task, or those of a slice."""
        if isinstance(index, slice):
            return _Tasks(self._environment, self._split, self._goals[index])
        return self._environment.task(self._split, self._goals[index])


class WebShopEpisode:
    """A session with the actions that the paper's agent was offered; the score is the reward of the purchase."""

    def __init__(self, session: Session, *, item_names: bool) -> None:
        self._session = session
        self._item_names = item_names
        self._named: dict[str, str] = {}
        self.observation = self._observe()

    def as_listed(self, action: str) -> str:
        """``action`` as the observation lists it, if it clicks a result by its id where results have names."""
        return next((name for name, by_id in self._named.items() if by_id == action), action)

    def step(self, action: str) -> Transition:
        """Carry out ``action``; one that cannot be done shows the page again.

        Raises:
            EnvError: The session is over.
        """
        if self._session.done:
            raise EnvError(f"The session is over: {action!r} comes after the purchase.")
        reward = self._session.step(self._named.get(action, action))
        self.observation = self._observe()
        return Transition(observation=self.observation, reward=reward, done=self._session.done)

    def score(self) -> float:
        """The reward of the purchase; 0.0 before it."""
        return self._session.reward.total if self._session.reward else 0.0

    def _observe(self) -> Observation:
        if self._session.place is Place.SEARCH:
            return Observation(text=self._session.text, admissible_actions=(f"search[{QUERY_SLOT}]",))
        self._named = self._names() if self._item_names else {}
        by_id = {action: name for name, action in self._named.items()}
        actions = [f"click[{target}]" for target in self._session.available.clickables]
        return Observation(
            text=self._session.text, admissible_actions=tuple(by_id.get(action, action) for action in actions)
        )

    def _names(self) -> dict[str, str]:
        """The actions that open a result by its name, with those that do so by its id; a repeated name is left out."""
        pieces = self._session.page.pieces
        named: dict[str, str] = {}
        for link, name in pairwise(pieces):
            if link.role is Role.LINK:
                named.setdefault(f"click[{name.text.strip().lower()}]", f"click[{link.text.lower()}]")
        return named
