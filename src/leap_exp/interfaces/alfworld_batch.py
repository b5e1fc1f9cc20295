"""Drop-in for ``alfworld.agents.environment``: the batch environment ``AlfredTWEnv``, on the fast engine.

Agent code changes one import:

    from leap_exp.interfaces.alfworld_batch import get_environment

    env = get_environment(config["env"]["type"])(config, train_eval="train").init_env(batch_size=8)
    observations, infos = env.reset()
    observations, scores, dones, infos = env.step([commands[0] for commands in infos["admissible_commands"]])

Neither alfworld nor TextWorld has to be installed.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.alfworld.engine.game import read_summary
from leap_exp.envs.alfworld.engine.goal import TASK_TYPES as _TASK_TYPES
from leap_exp.envs.alfworld.official import GAME_FILE
from leap_exp.interfaces.alfworld_game import (
    AlfredDemangler,
    AlfredExpert,
    AlfredExpertType,
    AlfredInfos,
    EnvInfos,
    GameState,
)

__all__ = [
    "TASK_TYPES",
    "AlfredDemangler",
    "AlfredExpert",
    "AlfredExpertType",
    "AlfredInfos",
    "AlfredTWEnv",
    "BatchEnv",
    "get_environment",
]

logger = logging.getLogger(__name__)

TASK_TYPES = dict(enumerate(_TASK_TYPES, start=1))
"""The task types by their numbers in ``config["env"]["task_types"]``."""

Infos = dict[str, list[Any]]
"""What is known about each game of a batch, by the name of the information."""

_DATA_PATHS = {
    "train": "data_path",
    "eval_in_distribution": "eval_id_data_path",
    "eval_out_of_distribution": "eval_ood_data_path",
}
_SECTIONS = {"dqn": "rl", "dagger": "dagger"}
"""The section of the configuration with the number of steps, by training method."""
_FIRST_SEED = 1234
"""The seed of the order of games until ``seed`` is called."""

_Result = tuple[str, int, bool, dict[str, Any]]


def get_environment(env_type: str) -> type["AlfredTWEnv"]:
    """Return the class of the environment ``env_type``.

    Raises:
        ConfigError: It is not ``AlfredTWEnv``; the environments with images need alfworld itself.
    """
    if env_type != "AlfredTWEnv":
        raise ConfigError(f"There is only AlfredTWEnv here; import {env_type!r} from alfworld.agents.environment.")
    return AlfredTWEnv


class AlfredTWEnv:
    """The text games of a split, chosen by alfworld's configuration.

    Attributes:
        game_files: Paths of the games, in the order in which the file system lists them, as in alfworld.
        num_games: Their number.

    Args:
        config: The configuration, as alfworld reads it from its YAML file. ``$ALFWORLD_DATA`` in paths is expanded; its
            default is alfworld's.
        train_eval: ``train``, ``eval_in_distribution`` or ``eval_out_of_distribution``.

    Raises:
        ConfigError: The split does not exist, or a part of the configuration is missing.
        DataError: The folder of the split does not exist, or has no game of the wanted task types.
    """

    def __init__(self, config: Mapping[str, Any], train_eval: str = "train") -> None:
        if train_eval not in _DATA_PATHS:
            raise ConfigError(f"There is no split train_eval={train_eval!r}: choose one of {', '.join(_DATA_PATHS)}.")
        self.config = config
        self.train_eval = train_eval
        if _value(config, "env", "goal_desc_human_anns_prob") > 0:
            logger.warning("env.goal_desc_human_anns_prob is ignored, as in alfworld: games are played as they are")
        self.collect_game_files()

    def collect_game_files(self, verbose: bool = False) -> None:
        """Find the games; with ``verbose`` the log names those that are left out."""
        folder = Path(_expanded(_value(self.config, "dataset", _DATA_PATHS[self.train_eval])))
        if not folder.is_dir():
            raise DataError(f"The games folder {folder} of dataset.{_DATA_PATHS[self.train_eval]} does not exist.")
        wanted = {TASK_TYPES.get(number) for number in _value(self.config, "env", "task_types")}
        self.game_files: list[str] = []
        for root, _, files in os.walk(folder, topdown=False):
            if GAME_FILE in files:
                if reason := _reason_to_skip(Path(root), wanted):
                    logger.log(logging.INFO if verbose else logging.DEBUG, "skipping %s: %s", root, reason)
                else:
                    self.game_files.append(os.path.join(root, GAME_FILE))  # noqa: PTH118 - as alfworld spells paths
        if not self.game_files:
            raise DataError(f"The folder {folder} has no solvable game of the task types {sorted(map(str, wanted))}.")
        limit = _value(self.config, "dataset", f"num_{'train' if self.train_eval == 'train' else 'eval'}_games")
        self.game_files = self.game_files[: limit if limit > 0 else None]
        self.num_games = len(self.game_files)
        logger.info("%d games in the split %s", self.num_games, self.train_eval)

    def init_env(self, batch_size: int) -> "BatchEnv":
        """Return an environment that plays ``batch_size`` games at a time.

        Raises:
            ConfigError: The training method or the expert does not exist, or a part of the configuration is missing.
        """
        method = _value(self.config, "general", "training_method")
        if method not in _SECTIONS:
            raise ConfigError(f"general.training_method={method!r} is unknown: use one of {', '.join(_SECTIONS)}.")
        max_steps = _value(self.config, _SECTIONS[method], "training", "max_nb_steps_per_episode")
        training = self.train_eval == "train"
        shuffle = training and _value(self.config, "env", "domain_randomization")
        expert_type = _value(self.config, "env", "expert_type") if training and method == "dagger" else None

        def make_game() -> Any:  # noqa: ANN401 - a game in wrappers
            game = AlfredDemangler(shuffle=shuffle)
            game.request_infos = EnvInfos(won=True, admissible_commands=True)
            game.max_episode_steps = max_steps
            return AlfredExpert(AlfredInfos(game), expert_type) if expert_type else AlfredInfos(game)

        shown = ["won", "admissible_commands", "extra.gamefile"]
        if expert_type:
            # What alfworld's experts read is shown to agents, too.
            shown += ["extra.expert_plan", "policy_commands" if expert_type == AlfredExpertType.PLANNER else "facts"]
        return BatchEnv(self.game_files, make_game, shown, batch_size=batch_size)


class BatchEnv:
    """Plays games in batches, in this process. Games follow each other in a shuffled order without end.

    Args:
        gamefiles: Paths of the games.
        make_game: Makes an empty game, which loads one file after the other.
        shown: The names of the infos.
        batch_size: How many games are played at a time.
    """

    def __init__(
        self, gamefiles: Sequence[str], make_game: Callable[[], Any], shown: Sequence[str], *, batch_size: int
    ) -> None:
        self.gamefiles = gamefiles
        self.batch_size = batch_size
        self._places = [_Place(make_game(), shown) for _ in range(batch_size)]
        self.seed(_FIRST_SEED)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Start a new order of games, shuffled with ``seed``."""
        rng = np.random.RandomState(seed)
        files = list(self.gamefiles)
        rng.shuffle(files)
        self._order = _endless(files, rng)
        return [seed]

    def skip(self, nb_games: int = 1) -> None:
        """Leave out the next games of the order."""
        for _ in range(nb_games):
            next(self._order)

    def reset(self) -> tuple[tuple[str, ...], Infos]:
        """Start the next ``batch_size`` games; return the observations and the infos.

        Raises:
            DataError: A game cannot be read.
        """
        files = [next(self._order) for _ in self._places]
        results = [place.start(file) for place, file in zip(self._places, files, strict=True)]
        return tuple(text for text, *_ in results), _joined(results)

    def step(self, commands: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...], tuple[bool, ...], Infos]:
        """Execute a command in each game; return observations, scores (0 or 1), whether games are over, and infos.

        A game that is over stays as it is.

        Raises:
            ConfigError: ``commands`` is not one command for each game.
        """
        if not isinstance(commands, list | tuple) or len(commands) != self.batch_size:
            raise ConfigError(f"step takes a list of {self.batch_size} commands, one for each game: got {commands!r}.")
        results = [place.step(command) for place, command in zip(self._places, commands, strict=True)]
        texts, scores, dones, _ = zip(*results, strict=True)
        return texts, scores, dones, _joined(results)

    def close(self) -> None:
        """Close all games."""
        for place in self._places:
            place.game.close()


class _Place:
    """A place in a batch: the game that is played there, and its last result."""

    def __init__(self, game: Any, shown: Sequence[str]) -> None:  # noqa: ANN401 - a game in wrappers
        self.game = game
        self._shown = shown
        self._last: _Result = ("", 0, False, {})

    def start(self, file: str) -> _Result:
        self.game.load(file)
        self._last = self._result(self.game.reset(), 0, False)
        return self._last

    def step(self, command: str) -> _Result:
        if not self._last[2]:
            self._last = self._result(*self.game.step(command))
        return self._last

    def _result(self, state: GameState, score: int, done: bool) -> _Result:
        return state["feedback"], score, done, {name: state.get(name) for name in self._shown}


def _joined(results: Sequence[_Result]) -> Infos:
    return {name: [infos[name] for *_, infos in results] for name in results[0][3]}


def _endless(files: list[str], rng: np.random.RandomState) -> Iterator[str]:
    while True:
        yield from files
        rng.shuffle(files)


def _value(config: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401 - settings have any type
    value: Any = config
    for name in names:
        try:
            value = value[name]
        except (KeyError, TypeError) as error:
            raise ConfigError(f"alfworld's configuration has no {'.'.join(names)}: add it.") from error
    return value


def _expanded(path: str) -> str:
    """Return ``path`` with its variables; ``ALFWORLD_DATA`` has alfworld's default."""
    default = os.environ.get("ALFWORLD_DATA", str(Path("~/.cache/alfworld").expanduser()))
    for name in ("$ALFWORLD_DATA", "${ALFWORLD_DATA}"):
        path = path.replace(name, default)
    return os.path.expandvars(path)


def _reason_to_skip(folder: Path, wanted: set[str | None]) -> str:
    """Return why alfworld does not play the game in ``folder``; empty if it does.

    alfworld reads the task type from ``traj_data.json``. Its archive of text games has no such files; here the task
    type is then read from the game.
    """
    if "movable" in str(folder) or "Sliced" in str(folder):
        return "movable containers and sliced objects are not supported"
    text = (folder / GAME_FILE).read_text(encoding="utf-8")
    trajectory = folder / "traj_data.json"
    if trajectory.is_file():
        task_type = json.loads(trajectory.read_text(encoding="utf-8"))["task_type"]
    else:
        _, task_type = read_summary(text, game_id=str(folder))
    if task_type not in wanted:
        return f"its task type is {task_type}"
    return "" if json.loads(text).get("solvable") else "it is not marked as solvable"
