"""ALFWorld games for tests, and play without an environment."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from leap_exp.core.types import Decision, Observation, Step, Task, View
from leap_exp.envs.alfworld.builtin import generate_game
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import Game, read_game

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "alfworld" / "json_2.1.3_tw-pddl.zip"
needs_archive = pytest.mark.skipif(not ARCHIVE.exists(), reason=f"needs the official games in {ARCHIVE}")


def builtin_games(count: int, *, household: str = "small", split: str = "valid_unseen") -> Iterator[Game]:
    for index in range(count):
        text = generate_game(split, index, seed=0, household=household)
        yield read_game(text, game_id=f"{household}/{split}/{index}")


def official_texts(count: int) -> Iterator[tuple[str, str]]:
    """Names and texts of ``count`` official game files, spread evenly over splits and task types."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith("game.tw-pddl"))
        for name in names[:: len(names) // count][:count]:
            yield name, archive.read(name).decode()


def official_games(count: int) -> Iterator[Game]:
    """``count`` official games, spread evenly over splits and task types."""
    for name, text in official_texts(count):
        yield read_game(text, game_id=name)


class Play:
    """A running game with the student's view of it."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.world = World(game)
        self._task = Task(id=game.id, split="test", instruction=game.instruction, kind=game.goal.task_type)
        self._steps: list[Step] = []
        self._text = self.world.intro()

    @property
    def view(self) -> View:
        return View(task=self._task, history=tuple(self._steps), observation=self._observation)

    @property
    def won(self) -> bool:
        return self.world.won

    @property
    def _observation(self) -> Observation:
        commands = tuple(command for command, _ in self.world.admissible())
        return Observation(text=self._text, admissible_actions=commands)

    def step(self, decision: Decision | str) -> None:
        if isinstance(decision, str):
            decision = Decision(reason="", action=decision)
        self._steps.append(Step(observation=self._observation, decision=decision, reward=0.0))
        self._text = self.world.step(decision.action)

    def fork(self) -> "Play":
        other = Play(self.game)
        other.world, other._steps, other._text = self.world.copy(), self._steps.copy(), self._text
        return other

    def run(self, decide: Callable[[View], Decision | str], *, limit: int = 60) -> int:
        """Play until the game is won; return the number of steps."""
        taken = 0
        while not self.won and taken < limit:
            self.step(decide(self.view))
            taken += 1
        return taken

    def wander(self, rng: Random, steps: int) -> "Play":
        """Take random actions, mostly with objects and some inadmissible, but never the winning step."""
        for _ in range(steps):
            commands = list(self._observation.admissible_actions or ())
            handling = [command for command in commands if not command.startswith(("go ", "examine ", "look"))]
            draw = rng.random()
            action = "sing a song" if draw < 0.1 else rng.choice(handling if draw < 0.5 else commands)
            trial = self.fork()
            trial.step(action)
            if not trial.won:
                self.step(action)
        return self
