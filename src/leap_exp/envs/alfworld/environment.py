"""The ALFWorld environment: its tasks, episodes, privileged facts and scripted experts."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from leap_exp.core.environments import ConsistentWorlds, Environment, Episode, Oracle
from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.core.text import content_digest
from leap_exp.core.types import Observation, PrivilegedFacts, Task, Transition, View
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.alfworld.engine import Play
from leap_exp.envs.alfworld.engine.fast import FastPlay
from leap_exp.envs.alfworld.engine.game import Game, read_game, read_summary
from leap_exp.envs.alfworld.engine.wording import worded
from leap_exp.envs.alfworld.library import open_library
from leap_exp.envs.alfworld.prompts import PROMPTS
from leap_exp.envs.alfworld.teaching.facts import privileged_facts
from leap_exp.envs.alfworld.teaching.oracle import AlfworldOracle
from leap_exp.envs.alfworld.teaching.subtask import is_readable, read_subtask
from leap_exp.envs.alfworld.teaching.worlds import consistent_worlds
from leap_exp.envs.selection import index_range

logger = logging.getLogger(__name__)

_ID_PREFIX = "alfworld/"
_GAMES_IN_MEMORY = 128


class AlfworldEnvironment(Environment):
    """Household tasks in a text world."""

    name = "alfworld"
    max_repeats = 0
    prompts = PROMPTS

    def __init__(self, config: AlfworldConfig) -> None:
        self._config = config
        self._library = open_library(config)
        self._tasks = lru_cache(self._read_tasks)
        self._game = lru_cache(_GAMES_IN_MEMORY)(self._read_game)
        self._oracle = lru_cache(_GAMES_IN_MEMORY)(self._make_oracle)

    def splits(self) -> Sequence[str]:
        """Return the splits of the built-in games, or the folders of games."""
        return self._library.splits

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the selected tasks of ``split``, sorted by id. ``task_types`` is applied before ``select``.

        Games that cannot be read are left out; a warning counts them. Another warning counts games whose task sentence
        the scripted expert cannot read, such as one that a person wrote. They are played like the others, but get no
        demonstrations or corrections by the expert.

        Raises:
            ConfigError: There is no such split, or no task is selected.
            DataError: The games are missing, or none of them can be read.
        """
        return self._tasks(split)

    def more_tasks(self, split: str) -> str:
        """Return the setting with the number of built-in games."""
        return f"raise env.builtin_counts.{split}" if self._config.games == "builtin" else ""

    def contents(self, task: Task) -> Mapping[str, str]:
        """Return digests of what the game's file says; its layout does not count."""
        game = json.loads(self._file_text(task.id))
        parts = {"rules": "pddl_domain", "texts": "grammar", "household": "pddl_problem"}
        return {part: content_digest(game[name]) for part, name in parts.items()}

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator["AlfworldEpisode"]:  # noqa: ARG002 - nothing is random
        """Start an episode; all episodes of a game start in the same state."""
        play = self._start(task)
        try:
            yield AlfworldEpisode(play)
        finally:
            play.close()

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return where the objects of ``task`` are, and a shortest sequence of commands."""
        return privileged_facts(task.id, self._game(task.id))

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``.

        Raises:
            EnvError: It declines the game, because it cannot read its task sentence or because it has to be sliced.
        """
        return self._oracle(task.id)

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds | None:
        """Return the households that are consistent with a history of a built-in game; None for other games."""
        if self._config.games != "builtin":
            return None
        return consistent_worlds(self._game(view.task.id), view, limit=limit, seed=seed)

    def _start(self, task: Task) -> Play:
        if self._config.engine == "fast":
            return FastPlay(self._game(task.id))
        from leap_exp.envs.alfworld.engine.textworld import TextWorldPlay

        return TextWorldPlay(self._text(task.id))

    def _text(self, task_id: str) -> str:
        """Return the text of the game's file, in the wording that is set."""
        text = self._file_text(task_id)
        return worded(text, self._config.wording) if self._config.wording else text

    def _file_text(self, task_id: str) -> str:
        if not task_id.startswith(_ID_PREFIX):
            raise DataError(f"The task {task_id!r} does not belong to ALFWorld, whose ids start with {_ID_PREFIX!r}.")
        return self._library.text(task_id.removeprefix(_ID_PREFIX))

    def _read_game(self, task_id: str) -> Game:
        return read_game(self._text(task_id), game_id=task_id)

    def _make_oracle(self, task_id: str) -> Oracle:
        game = self._game(task_id)
        if game.goal.sliced:
            raise EnvError(f"The scripted expert declines {task_id}: it cannot slice things, as its task asks for.")
        try:
            read_subtask(game.instruction)
        except EnvError as error:
            raise EnvError(f"The scripted expert declines {task_id}. {error}") from error
        return AlfworldOracle(game)

    def _read_tasks(self, split: str) -> Sequence[Task]:
        ids = [_ID_PREFIX + game_id for game_id in self._library.ids(split)]
        # Read only the games that are needed: a selection needs ids alone, task types need the files.
        task_types = self._config.task_types
        selected = ids if task_types else self._selected(ids)
        tasks = self._readable_tasks(selected, split)
        if task_types:
            tasks = [task for task in tasks if task.kind in task_types]
            selected = self._selected([task.id for task in tasks])
            tasks = [task for task in tasks if task.id in selected]
        if not tasks:
            raise ConfigError(
                f"env.select={self._config.select!r} and env.task_types={list(task_types)} leave none of the "
                f"{len(ids)} games of the split {split!r}: change one of them."
            )
        if unreadable := [task for task in tasks if not is_readable(task.instruction)]:
            logger.warning(
                "The scripted expert cannot read the task sentence of %d of the %d games of the split %s and neither "
                "demonstrates nor corrects them, first %s: %r",
                *(len(unreadable), len(tasks), split, unreadable[0].id, unreadable[0].instruction),
            )
        return tuple(tasks)

    def _readable_tasks(self, task_ids: Sequence[str], split: str) -> list[Task]:
        """Return the tasks whose games can be read; raises DataError if there are games but none can."""
        tasks: list[Task] = []
        errors: list[DataError] = []
        for task_id in task_ids:
            try:
                tasks.append(self._task(task_id, split))
            except DataError as error:
                errors.append(error)
        if errors and not tasks:
            raise errors[0]
        if errors:
            logger.warning(
                "%d of the %d games of the split %s cannot be read and are left out, first: %s",
                *(len(errors), len(task_ids), split, errors[0]),
            )
        return tasks

    def _task(self, task_id: str, split: str) -> Task:
        instruction, task_type = read_summary(self._text(task_id), game_id=task_id)
        return Task(id=task_id, split=split, instruction=instruction, kind=task_type)

    def _selected(self, ids: Sequence[str]) -> Sequence[str]:
        """Return those of ``ids`` that ``select`` keeps."""
        select = self._config.select
        if not select:
            return ids
        if span := index_range(select):
            return ids[span]
        named = {_ID_PREFIX + name.strip().removeprefix(_ID_PREFIX) for name in select.split(",")}
        known = {_ID_PREFIX + game_id for split in self._library.splits for game_id in self._library.ids(split)}
        if unknown := sorted(named - known):
            raise ConfigError(
                f"env.select contains {unknown[0]!r}, which is not a game: give ids such as {min(known)!r}, or a range "
                f"such as 0:50."
            )
        return [task_id for task_id in ids if task_id in named]


class AlfworldEpisode(Episode):
    """A running game. It ends when it is won; the score is then 1, before that 0."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._observation = self._observe()

    @property
    def observation(self) -> Observation:
        """The game's answer to the last command, and the admissible commands."""
        return self._observation

    def step(self, action: str) -> Transition:
        """Execute ``action``; the answer to an inadmissible action is "Nothing happens.".

        Raises:
            EnvError: The game is over.
        """
        play = self._play
        if play.done:
            raise EnvError(f"Cannot execute {action!r}: the game is over.")
        command = action.strip()
        listed_as = command if command != action and self._observation.admits(command) else ""
        play.step(action)
        self._observation = self._observe()
        return Transition(observation=self._observation, reward=play.reward, done=play.done, listed_as=listed_as)

    def _observe(self) -> Observation:
        return Observation(text=self._play.text, admissible_actions=self._play.admissible)

    def score(self) -> float:
        """Return 1.0 if the game is won, 0.0 otherwise."""
        return float(self._play.won)
