"""Comparison of the drop-in ``AlfredTWEnv`` with alfworld's own, step by step."""

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from leap_exp.core.seeding import derive_seed
from leap_exp.envs.alfworld.engine.compare import commands_to_try
from leap_exp.envs.alfworld.engine.game import read_game
from leap_exp.envs.alfworld.engine.textworld import memoised_textworld, require_textworld
from leap_exp.envs.alfworld.library import Library
from leap_exp.envs.alfworld.official import GAME_FILE
from leap_exp.interfaces.alfworld_batch import TASK_TYPES, AlfredTWEnv
from leap_exp.interfaces.alfworld_game import TRACKED


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a batch of games showed: how many games and commands were played, and the differences, a line each."""

    games: int
    commands: int
    differences: Sequence[str]


def write_games(library: Library, folder: Path, *, limit: int | None) -> int:
    """Write games with a ``traj_data.json`` each to ``folder``, as alfworld wants them; return their number.

    Args:
        library: The games.
        folder: Where each game gets a folder of its own.
        limit: Write only so many, spread evenly over all of them.
    """
    ids = [game_id for split in library.splits for game_id in library.ids(split)]
    count = min(limit or len(ids), len(ids))
    for game_id in (ids[index * len(ids) // count] for index in range(count)):
        text = library.text(game_id)
        goal = read_game(text, game_id=game_id).goal
        parameters = {
            "object_target": goal.object_kind,
            "parent_target": goal.receptacle_kind,
            "toggle_target": goal.lamp_kind,
            "mrecep_target": "",
            "object_sliced": goal.sliced,
        }
        place = folder / game_id
        place.mkdir(parents=True)
        (place / GAME_FILE).write_text(text, encoding="utf-8")
        (place / "traj_data.json").write_text(json.dumps({"task_type": goal.task_type, "pddl_params": parameters}))
    return count


def configuration(
    folder: Path, *, expert: str, steps: int, method: str = "dagger", shuffle: bool = False
) -> dict[str, Any]:
    """Return alfworld's configuration for the games in ``folder``, in all splits."""
    paths = dict.fromkeys(("data_path", "eval_id_data_path", "eval_ood_data_path"), str(folder))
    training = {"training": {"max_nb_steps_per_episode": steps}}
    return {
        "dataset": {**paths, "num_train_games": -1, "num_eval_games": -1},
        "env": {
            "type": "AlfredTWEnv",
            "goal_desc_human_anns_prob": 0,
            "task_types": list(TASK_TYPES),
            "domain_randomization": shuffle,
            "expert_type": expert,
        },
        "general": {"training_method": method},
        "rl": training,
        "dagger": training,
    }


def compare_environments(
    config: Mapping[str, Any], *, games: int, steps: int, seed: int, batch_size: int = 1, train_eval: str = "train"
) -> Iterator[BatchReport]:
    """Play the same commands in alfworld's environment and in the drop-in, and yield a report for each batch.

    Every second game begins with its walkthrough, the others with random commands. Observations, scores, dones and all
    infos are compared after every command, with their types. Two of them are compared in part: of the planner's plans
    only the lengths, as there are several shortest ones, and of the facts those that the drop-in tracks, in any order.

    In batches alfworld's draws have no seed, so compare those of the hand-coded expert and of shuffled names one game
    at a time.

    Raises:
        EnvError: alfworld is not installed.
    """
    require_textworld()
    from alfworld.agents.environment import alfred_tw_env as original

    def make_original() -> Any:  # noqa: ANN401 - alfworld has no types
        # alfworld 0.4.2 hands the type of the expert over in the wrong place, so that it has no effect.
        expert = partial(_expert, original.AlfredExpert)
        with patch.object(original, "AlfredExpert", expert), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return original.AlfredTWEnv(config, train_eval).init_env(batch_size)

    with memoised_textworld():
        expected = _Side(make_original, seed)
        actual = _Side(lambda: AlfredTWEnv(config, train_eval).init_env(batch_size), seed)
        try:
            for side in (expected, actual):
                side.environment.seed(seed)
            for number in range(math.ceil(games / batch_size)):
                yield _compare_batch(expected, actual, number, batch_size, steps, seed)
        finally:
            for side in (expected, actual):
                side.environment.close()


class _Side:
    """One of the two environments, with its own state of Python's global generator."""

    def __init__(self, make: Callable[[], Any], seed: int) -> None:
        self._state = random.Random(seed).getstate()
        with self._own_randomness():
            self.environment = make()

    def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the method returns
        """Return the result of a method, or the exception that it raises: alfworld's expert fails on odd commands."""
        with self._own_randomness():
            try:
                return getattr(self.environment, method)(*arguments)
            except Exception as error:  # noqa: BLE001 - becomes a part of the comparison
                return error

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        outside = random.getstate()
        random.setstate(self._state)
        try:
            yield
        finally:
            self._state = random.getstate()
            random.setstate(outside)


class _Shown:
    """What the reference listed last for a game."""

    admissible: Sequence[str] = ()


def _compare_batch(expected: _Side, actual: _Side, number: int, batch_size: int, steps: int, seed: int) -> BatchReport:
    results = expected.call("reset"), actual.call("reset")
    differences = _differences(*results, where=f"batch {number}, opening")
    if differences:
        return BatchReport(games=batch_size, commands=0, differences=differences)
    files = results[0][-1]["extra.gamefile"]
    shown = [_Shown() for _ in files]
    scripts = [
        commands_to_try(
            shown[place],
            random.Random(derive_seed(seed, "dropin", number, place)),
            read_game(Path(file)).walkthrough if (number + place) % 2 == 0 else (),
            steps,
        )
        for place, file in enumerate(files)
    ]
    played = 0
    for step in range(1, steps + 1):
        for place, commands in enumerate(results[0][-1]["admissible_commands"]):
            shown[place].admissible = commands
        commands = [next(script) for script in scripts]
        results = expected.call("step", commands), actual.call("step", commands)
        played += batch_size
        where = f"batch {number} ({', '.join(Path(file).parent.name for file in files)}), step {step} {commands}"
        differences = _differences(*results, where=where)
        if differences or isinstance(results[0], Exception):
            break
    return BatchReport(games=batch_size, commands=played, differences=differences)


def _differences(expected: Any, actual: Any, *, where: str) -> list[str]:  # noqa: ANN401
    """Return a line for each difference between two results of ``reset`` or ``step``."""
    if isinstance(expected, Exception) or isinstance(actual, Exception):
        same = type(expected) is type(actual)
        return [] if same else [f"{where}: alfworld gives {expected!r}, the drop-in {actual!r}"]
    fields = ("observations", "infos") if len(expected) == 2 else ("observations", "scores", "dones", "infos")
    one, other = (dict(zip(fields, result, strict=True)) for result in (expected, actual))
    one, other = (_comparable({**values.pop("infos"), **values}) for values in (one, other))
    return [
        f"{where}: {name} is {other.get(name)!r}, alfworld has {one.get(name)!r}"
        for name in sorted(one.keys() | other.keys())
        if _typed(one.get(name)) != _typed(other.get(name))
    ]


def _comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with plans of the planner as their lengths, and facts as sorted lists of those tracked."""
    if "policy_commands" in values:
        lengths = [len(plan) for plan in values["policy_commands"]]
        values = {**values, "policy_commands": lengths, "extra.expert_plan": lengths}
    if "facts" in values:
        facts = [
            sorted((fact.name, *map(str.strip, fact.names)) for fact in facts if fact.name in TRACKED)
            for facts in values["facts"]
        ]
        values = {**values, "facts": facts}
    return values


def _typed(value: Any) -> Any:  # noqa: ANN401 - values of infos
    """Return ``value`` with the types of all its parts, so that 1 and True differ."""
    if isinstance(value, list | tuple):
        return type(value), [_typed(part) for part in value]
    return type(value), value


def _expert(make: Callable[..., Any], expert_type: str) -> Any:  # noqa: ANN401 - alfworld has no types
    return make(expert_type=expert_type)
