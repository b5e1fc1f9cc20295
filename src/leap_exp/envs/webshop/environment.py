"""WebShop as an environment: goals are tasks, sessions are episodes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import overload

from leap_exp.core.environments import Environment, Episode, Oracle
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.text import content_digest
from leap_exp.core.types import QUERY_SLOT, Observation, PrivilegedFacts, Task, Transition
from leap_exp.envs.selection import index_range
from leap_exp.envs.webshop.config import WebShopConfig
from leap_exp.envs.webshop.engine.goals import SPLITS, Goal, GoalList
from leap_exp.envs.webshop.engine.pages import ObservationMode, Role
from leap_exp.envs.webshop.engine.products import GoalKind
from leap_exp.envs.webshop.engine.shop import PageKind, Session, Shop, parse_action
from leap_exp.envs.webshop.installation import open_catalogue
from leap_exp.envs.webshop.prompts import PROMPTS
from leap_exp.envs.webshop.teaching.oracle import WebShopOracle, privileged_facts

_ID = re.compile(r"webshop/(\w+)/(\d+)-([0-9a-f]{8})")
_CACHED_ORACLES = 1024


class WebShopEnvironment(Environment):
    """An online shop in the original's text mode: buy what an instruction asks for.

    The catalogue is opened when it is first used.

    Raises:
        ConfigError: ``config.select`` is not a range of goals.
    """

    name = "webshop"
    max_repeats = 1
    prompts = PROMPTS

    def __init__(self, config: WebShopConfig) -> None:
        self._config = config
        selected = index_range(config.select or ":")
        if selected is None:
            raise ConfigError(f"env.select={config.select!r} is not a range of goals: use one such as 0:50.")
        self._selected = selected
        self._oracle = lru_cache(_CACHED_ORACLES)(self._make_oracle)

    @cached_property
    def _shop(self) -> Shop:
        config = self._config
        catalogue = open_catalogue(config.catalogue, builtin_seed=config.builtin_seed)
        return Shop(catalogue, GoalList(catalogue, kind=GoalKind(config.goals), price_seed=config.price_seed))

    def splits(self) -> Sequence[str]:
        """Return the splits of the original."""
        return SPLITS

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the goals of ``split`` in the original's order, made on access: there may be a million of them.

        Raises:
            ConfigError: There is no such split, or the selection leaves no goals.
            DataError: The catalogue is missing or cannot be read.
        """
        goals = self._shop.goals.split(split)
        if not goals[self._selected]:
            raise ConfigError(
                f"env.select={self._config.select!r} leaves none of the {len(goals)} goals of the split {split!r}: "
                f"use another range or catalogue{f', or {advice}' if (advice := self.more_tasks(split)) else ''}."
            )
        return _Tasks(self, split, goals[self._selected])

    def more_tasks(self, split: str) -> str:  # noqa: ARG002 - the same in all splits
        """Return the settings with more goals."""
        others = []
        if self._config.goals == GoalKind.HUMAN:
            others.append("env.goals=synthetic")
        if self._config.catalogue != "all":
            others.append("env.catalogue=all")
        return f"use {' or '.join(others)}, which may have more" if others else ""

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return the prices of the goal, and digests of the goal, its product and the whole catalogue.

        The nouns of product names are left out: they depend on the tagger with which the catalogue was built.
        """
        goal = self._shop.goals.goal(self._index(task))
        product = asdict(self._shop.catalogue.product(goal.row))
        del product["nouns"]
        return {
            "goal": content_digest([goal.asin, goal.attributes, goal.options]),
            "price limit": f"{goal.price_limit:.2f}",
            "price": f"{self._shop.goals.price(goal.row):.6f}",
            "product": content_digest(product),
            "catalogue": self._shop.catalogue.digest,
        }

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[WebShopEpisode]:
        """Start a session for the goal of ``task``; ``seed`` only affects ``search[<r>]``."""
        mode = ObservationMode(self._config.observation)
        session = self._shop.open(self._index(task), mode=mode, seed=seed)
        yield WebShopEpisode(session, item_names=self._config.item_names)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the parts of the goal and a product that satisfies them."""
        goal = self._shop.goals.goal(self._index(task))
        return privileged_facts(task.id, goal, price=self._shop.goals.price(goal.row))

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``."""
        return self._oracle(task)

    def oracle_with_facts_of(self, task: Task, other: Task) -> Oracle:
        """Return the scripted expert that reads the instruction of ``task`` and looks for the product of ``other``."""
        goal = self._shop.goals.goal(self._index(other))
        return WebShopOracle(self._shop, replace(goal, instruction=task.instruction))

    def task(self, split: str, index: int) -> Task:
        """Return the goal at ``index`` of the whole list as a task of ``split``.

        The id ends with a digest of everything that the reward depends on, so that a panel's hash covers it.
        """
        goal = self._shop.goals.goal(index)
        return Task(
            id=f"webshop/{self._config.goals}/{index}-{self._digest(goal)}",
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
        if not found or found[1] != self._config.goals or index >= len(self._shop.goals):
            raise DataError(f"The task {task.id!r} is not one of the {self._config.goals} goals: check env.goals.")
        if found[3] != self._digest(self._shop.goals.goal(index)):
            raise DataError(
                f"The task {task.id!r} belongs to another catalogue or price seed: check env.catalogue and "
                f"env.price_seed."
            )
        return index

    def _make_oracle(self, task: Task) -> Oracle:
        return WebShopOracle(self._shop, self._shop.goals.goal(self._index(task)))


class _Tasks(Sequence[Task]):
    """The tasks of a split, made on access."""

    def __init__(self, environment: WebShopEnvironment, split: str, goals: range) -> None:
        self._environment, self._split, self._goals = environment, split, goals

    def __len__(self) -> int:
        return len(self._goals)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        """Return a task, or the tasks of a slice."""
        if isinstance(index, slice):
            return _Tasks(self._environment, self._split, self._goals[index])
        return self._environment.task(self._split, self._goals[index])


class WebShopEpisode(Episode):
    """A session with the admissible actions of the paper's agent; the score is the reward of the purchase."""

    def __init__(self, session: Session, *, item_names: bool) -> None:
        self._session = session
        self._item_names = item_names
        self._by_name: dict[str, str] = {}
        self._observation = self._observe()

    @property
    def observation(self) -> Observation:
        """The current page."""
        return self._observation

    def as_listed(self, action: str) -> str:
        """Return ``action`` as the observation lists it if the shop takes it for a listed one, else unchanged.

        The shop ignores the case of what is in brackets and whatever follows them, and takes a result's id or name.
        """
        if self._observation.admits(action):
            return action
        name, argument = parse_action(action)
        if argument is None:
            return action
        line = action.partition("\n")[0]
        # A query stays as it was written.
        written = line[: line.rindex("]") + 1]
        click = f"{name}[{argument}]"
        by_name = next((by_name for by_name, by_id in self._by_name.items() if by_id == click), click)
        return next((form for form in (written, by_name) if self._observation.admits(form)), action)

    def by_id(self, action: str) -> str:
        """Return a listed action with the id of a result in place of its name."""
        return self._by_name.get(action, action)

    def step(self, action: str) -> Transition:
        """Take ``action``; an impossible action shows the page again.

        Raises:
            EnvError: The session is over.
        """
        listed = self.as_listed(action)
        reward = self._session.step(self.by_id(listed))
        self._observation = self._observe()
        return Transition(
            observation=self._observation,
            reward=reward,
            done=self._session.done,
            listed_as=listed if listed != action else "",
        )

    def score(self) -> float:
        """Return the reward of the purchase, or 0.0 before it."""
        return self._session.reward.total if self._session.reward else 0.0

    def _observe(self) -> Observation:
        if self._session.page_kind is PageKind.SEARCH:
            return Observation(text=self._session.text, admissible_actions=(f"search[{QUERY_SLOT}]",))
        self._by_name = self._clicks_by_name() if self._item_names else {}
        names = {by_id: by_name for by_name, by_id in self._by_name.items()}
        actions = [f"click[{target}]" for target in self._session.available.clickables]
        return Observation(
            text=self._session.text, admissible_actions=tuple(names.get(action, action) for action in actions)
        )

    def _clicks_by_name(self) -> dict[str, str]:
        """Return the actions that open results by id, keyed by those that use names; of equal names, the first wins."""
        clicks: dict[str, str] = {}
        for link, name in pairwise(self._session.page.pieces):
            if link.role is Role.LINK:
                clicks.setdefault(f"click[{name.text.strip().lower()}]", f"click[{link.text.lower()}]")
        return clicks
