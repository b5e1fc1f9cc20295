"""ScienceWorld as an environment: variations are tasks, simulators in a pool run the episodes."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache

from scienceworld import __version__ as package_version

from leap_exp.core.environments import Environment, Episode, Oracle
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.types import Observation, PrivilegedFacts, Task, Transition
from leap_scienceworld.config import ScienceWorldConfig
from leap_scienceworld.pool import SimulatorPool, default_size
from leap_scienceworld.prompts import PROMPTS
from leap_scienceworld.simulator import Frame, Simulator, World, java
from leap_scienceworld.teaching.gold import GoldPath, follow, privileged_facts
from leap_scienceworld.teaching.oracle import ScienceWorldOracle

SPLITS = ("train", "dev", "test")
_ID = re.compile(r"scienceworld/([a-z0-9-]+)/(\d+)-([0-9a-f]{8})")
_CACHED_PATHS = 4096


class ScienceWorldEnvironment(Environment):
    """The tasks of the package ``scienceworld``, in its own splits.

    Simulators are started when they are needed and end with this process.
    """

    name = "scienceworld"
    # Plants grow and things heat up while one waits.
    max_repeats = 30
    prompts = PROMPTS

    def __init__(self, config: ScienceWorldConfig) -> None:
        self._config = config
        self._simplifications = ",".join(config.simplifications)
        self.pool = SimulatorPool(size=config.simulators or default_size(), seconds=config.seconds)
        self.parallel_steps = self.pool.size
        self._gold_path = lru_cache(_CACHED_PATHS)(self._find_gold_path)
        self._listings: dict[str, list[Task]] = {}

    def prepare(self) -> None:
        """Start a simulator, so that a machine without Java is found before the run starts."""
        java()
        _ = self._variations

    def splits(self) -> Sequence[str]:
        """Return the names of the package's splits."""
        return SPLITS

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the variations in ``split``, task by task.

        Raises:
            ConfigError: There is no such split, task or simplification.
        """
        if split not in SPLITS:
            raise ConfigError(f"There is no split {split!r}; choose one of: {', '.join(SPLITS)}.")
        if split not in self._listings:
            self._listings[split] = [task for name in self._names for task in self._tasks(split, name)]
        return self._listings[split]

    def more_tasks(self, split: str) -> str:
        """Return the settings that leave tasks out."""
        settings = [
            *(["env.tasks=[]"] if self._config.tasks else []),
            *(["env.variations=0"] if self._config.variations else []),
        ]
        return f"set {' and '.join(settings)}" if settings else ""

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator["ScienceWorldEpisode"]:
        """Start the variation of ``task``."""
        episode = ScienceWorldEpisode(self.pool, self.world(task), task.instruction)
        try:
            yield episode
        finally:
            episode.close()

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the gold path, and what it uses that the start does not show."""
        return privileged_facts(task, self._gold_path(self.world(task)))

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task``."""
        return ScienceWorldOracle(lambda: self._gold_path(self.world(task)))

    @cached_property
    def _names(self) -> Sequence[str]:
        wanted, known = self._config.tasks, list(self._variations)
        if unknown := [name for name in wanted if name not in known]:
            raise ConfigError(
                f"env.tasks=[{unknown[0]}] is not a task of ScienceWorld: choose from {', '.join(known)}."
            )
        return [name for name in known if name in wanted] if wanted else known

    @cached_property
    def _variations(self) -> Mapping[str, Mapping[str, Sequence[int]]]:
        """The variations of each task in each split."""

        def read(simulator: Simulator) -> Mapping[str, Mapping[str, Sequence[int]]]:
            self._check_simplifications(simulator.possible_simplifications())
            return {name: simulator.variations(name) for name in simulator.task_names()}

        return self.pool.any(read)

    def _check_simplifications(self, possible: Sequence[str]) -> None:
        for name in self._config.simplifications:
            if name not in ("easy", *possible):
                raise ConfigError(
                    f"env.simplifications=[{name}] is not known: choose from easy, {', '.join(possible)}."
                )

    def _tasks(self, split: str, name: str) -> list[Task]:
        variations = self._variations[name][split][: self._config.variations or None]
        descriptions = self.pool.any(lambda simulator: list(simulator.descriptions(name, variations)))
        return [
            Task(
                id=f"scienceworld/{name}/{variation}-{self._digest(name, variation)}",
                split=split,
                instruction=description,
                kind=name,
            )
            for variation, description in zip(variations, descriptions, strict=True)
        ]

    def _digest(self, name: str, variation: int) -> str:
        """Return a digest of what the game depends on, so that a panel's hash covers it."""
        contents = [package_version, name, variation, self._simplifications]
        return hashlib.sha256(repr(contents).encode()).hexdigest()[:8]

    def world(self, task: Task) -> World:
        """Return the world of ``task``; raises DataError if it belongs to other settings."""
        found = _ID.fullmatch(task.id)
        if not found:
            raise DataError(f"{task.id!r} is not a task of ScienceWorld.")
        name, variation = found[1], int(found[2])
        if found[3] != self._digest(name, variation):
            raise DataError(
                f"The task {task.id!r} belongs to another version of the package than {package_version}, or to other "
                f"simplifications than env.simplifications=[{self._simplifications}]."
            )
        return World(task=name, variation=variation, simplifications=self._simplifications)

    def _find_gold_path(self, world: World) -> GoldPath:
        return self.pool.any(lambda simulator: follow(simulator, world))


class ScienceWorldEpisode(Episode):
    """One variation of a task. The score is the simulator's, where a fatal mistake counts as 0."""

    def __init__(self, pool: SimulatorPool, world: World, instruction: str) -> None:
        self._pool = pool
        self._world = world
        self._actions: tuple[str, ...] = ()
        self._frame = pool.at(world, (), lambda simulator: simulator.frame, last=None)
        # The original gives the task with every answer; here the first one has it.
        self._observation = observation(self._frame, before=f"{instruction}\n\n")

    @property
    def observation(self) -> Observation:
        """What the simulator answered, with the valid actions."""
        return self._observation

    def step(self, action: str) -> Transition:
        """Take ``action``, in any words that the simulator understands."""

        def take(simulator: Simulator) -> tuple[str, Frame]:
            listed = simulator.listed_form(action)
            return listed, simulator.step(action)

        before = self._frame
        listed, self._frame = self._pool.at(self._world, self._actions, take, last=before)
        self._actions += (action,)
        self._observation = observation(self._frame)
        return Transition(
            observation=self._observation,
            reward=(self._frame.score - before.score) / 100,
            done=self._frame.done,
            listed_as=listed if listed != action else "",
        )

    def score(self) -> float:
        """Return the score so far; 0 after a fatal mistake, as in the literature."""
        return max(0, self._frame.score) / 100

    def close(self) -> None:
        """Let others have the simulator."""
        self._pool.leave(self._world, self._actions)


def observation(frame: Frame, *, before: str = "") -> Observation:
    """Return what a student sees of ``frame``."""
    return Observation(text=f"{before}{frame.text}", admissible_actions=frame.actions)
