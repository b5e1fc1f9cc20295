"""ALFWorld as an environment: its tasks, their episodes, and what is known about them at training time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.protocols import Oracle
from leap_exp.core.types import Observation, PrivilegedFacts, Task, Transition
from leap_exp.envs.alfworld.engine import FastPlay, Play
from leap_exp.envs.alfworld.game import Game, read_game, read_summary
from leap_exp.envs.alfworld.goal import TASK_TYPES
from leap_exp.envs.alfworld.library import open_library
from leap_exp.envs.selection import index_range

ENGINES = ("fast", "textworld")
_ID_PREFIX = "alfworld/"
_GAMES_IN_MEMORY = 128


class AlfworldEnvironment:
    """Household tasks in a text world, on either engine.

    Args:
        engine: "fast", or "textworld" for the original (the extra ``alfworld``).
        games: "builtin", "official", or the path of a folder with a subfolder of game files for each split.
        household: The size of built-in households, "small" or "full".
        builtin_seed: The seed of built-in games.
        builtin_counts: How many built-in games a split has, where it is not the usual number.
        task_types: The task types to keep; none for all.
        select: The games of a split to keep, after the choice of task types: an index range such as "0:50", or ids
            with commas between (with or without the leading "alfworld/"); empty for all.

    Raises:
        ConfigError: A value is unknown.
    """

    name = "alfworld"
    revisits = 0

    def __init__(
        self,
        *,
        engine: str = "fast",
        games: str = "builtin",
        household: str = "small",
        builtin_seed: int = 0,
        builtin_counts: Mapping[str, int] | None = None,
        task_types: Sequence[str] = (),
        select: str = "",
    ) -> None:
        if engine not in ENGINES:
            raise ConfigError(f"Unknown engine {engine!r}: choose one of {', '.join(ENGINES)}.")
        for task_type in task_types:
            if task_type not in TASK_TYPES:
                raise ConfigError(f"Unknown task type {task_type!r}: choose from {', '.join(TASK_TYPES)}.")
        self._engine = engine
        self._task_types = tuple(task_types)
        self._select = select
        self._library = open_library(games, household=household, seed=builtin_seed, counts=builtin_counts)
        self._tasks = lru_cache(self._read_tasks)
        self._game = lru_cache(_GAMES_IN_MEMORY)(self._read_game)
        self._oracle = lru_cache(_GAMES_IN_MEMORY)(self._make_oracle)

    def tasks(self, split: str) -> Sequence[Task]:
        """The chosen tasks of ``split``, sorted by id.

        Raises:
            ConfigError: There is no such split, or the choice leaves no task.
            DataError: The games are not there, or one cannot be read.
        """
        return self._tasks(split)

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[AlfworldEpisode]:  # noqa: ARG002 - nothing here is random
        """Start the game of ``task``; every episode of a game starts in the same state."""
        play = self._start(task)
        try:
            yield AlfworldEpisode(play)
        finally:
            play.close()

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Where the task's objects are, and a shortest sequence of commands."""
        from leap_exp.envs.alfworld.facts import privileged_facts

        return privileged_facts(task.id, self._game(task.id))

    def oracle(self, task: Task) -> Oracle:
        """The scripted expert for ``task``."""
        return self._oracle(task.id)

    def _start(self, task: Task) -> Play:
        if self._engine == "fast":
            return FastPlay(self._game(task.id))
        from leap_exp.envs.alfworld.textworld_engine import TextWorldPlay

        return TextWorldPlay(self._text(task.id))

    def _text(self, task_id: str) -> str:
        if not task_id.startswith(_ID_PREFIX):
            raise DataError(f"The task {task_id!r} is none of ALFWorld's, whose ids start with {_ID_PREFIX!r}.")
        return self._library.text(task_id.removeprefix(_ID_PREFIX))

    def _read_game(self, task_id: str) -> Game:
        return read_game(self._text(task_id), game_id=task_id)

    def _make_oracle(self, task_id: str) -> Oracle:
        from leap_exp.envs.alfworld.oracle import AlfworldOracle

        return AlfworldOracle(self._game(task_id))

    def _read_tasks(self, split: str) -> Sequence[Task]:
        splits = self._library.splits
        if split not in splits:
            raise ConfigError(f"Unknown split {split!r}: choose one of {', '.join(splits)}.")
        ids = [_ID_PREFIX + game_id for game_id in self._library.ids(split)]
        # Games are read only where needed: a task type shows in the file alone, a selection in the id.
        wanted = ids if self._task_types else self._selected(ids)
        tasks = [self._task(task_id, split) for task_id in wanted]
        if self._task_types:
            tasks = [task for task in tasks if task.kind in self._task_types]
            wanted = self._selected([task.id for task in tasks])
            tasks = [task for task in tasks if task.id in wanted]
        if not tasks:
            raise ConfigError(
                f"No game of the split {split!r} ({len(ids)} games) is left by select={self._select!r} and "
                f"task_types={list(self._task_types)}: widen one of them."
            )
        return tuple(tasks)

    def _task(self, task_id: str, split: str) -> Task:
        instruction, task_type = read_summary(self._text(task_id), game_id=task_id)
        return Task(id=task_id, split=split, instruction=instruction, kind=task_type)

    def _selected(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of ``ids`` that the selection keeps."""
        if not self._select:
            return ids
        if span := index_range(self._select):
            return ids[span]
        wanted = {_ID_PREFIX + name.strip().removeprefix(_ID_PREFIX) for name in self._select.split(",")}
        known = {_ID_PREFIX + game_id for split in self._library.splits for game_id in self._library.ids(split)}
        if unknown := sorted(wanted - known):
            raise ConfigError(
                f"select names {unknown[0]!r}, which is no game: give ids such as {min(known)!r}, or a range as 0:50."
            )
        return [task_id for task_id in ids if task_id in wanted]


class AlfworldEpisode:
    """A live game. It is over once it is won; the score is 1 if it is won and 0 otherwise."""

    def __init__(self, play: Play) -> None:
        self._play = play

    @property
    def observation(self) -> Observation:
        """The game's answer to the last command, in the reference's words, and the admissible commands."""
        return Observation(text=self._play.text, admissible_actions=self._play.admissible)

    def step(self, action: str) -> Transition:
        """Give the command ``action``; one that is not admissible is answered "Nothing happens.".

        Raises:
            EnvError: The game is over.
        """
        if self._play.done:
            raise EnvError(f"The game is over: {action!r} comes after its end.")
        self._play.step(action)
        return Transition(observation=self.observation, reward=self._play.reward, done=self._play.done)

    def score(self) -> float:
        """1.0 if the game is won, 0.0 otherwise."""
        return float(self._play.won)
