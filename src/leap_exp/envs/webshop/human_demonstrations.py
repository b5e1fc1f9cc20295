"""Reads the human demonstrations that WebShop's authors published, and replays them on this engine.

A line of ``il_trajs_finalized_images.jsonl`` is a JSON object of lists with one entry per step: ``states`` (pages in
mode ``text_rich``), ``actions`` (products by id), ``actions_translate`` (products by name), ``available_actions``,
``action_idxs`` (the index of the action in these, -1 for a search) and ``images``. Only ``actions`` and the instruction
on the first page are used; pages, admissible actions and scores come from this engine.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.types import Decision, Step, StopReason, Task, Trajectory
from leap_exp.envs.webshop.engine.shop import parse_action
from leap_exp.envs.webshop.environment import WebShopEnvironment

POLICY_ID = "human"

_INSTRUCTION = re.compile(r"Instruction:\s*(.*?)\s*(?:\[button\] Search \[button_\]\s*)?\Z", re.DOTALL | re.IGNORECASE)
_PRICE_LIMIT = re.compile(r", and price lower than .*\Z", re.DOTALL)
_SPLITS_IN_ORDER = ("test", "validation", "train")


class Dropped(StrEnum):
    """Why a demonstration was dropped, as shown to the user."""

    OTHER_SPLIT = "of another split"
    NO_GOAL = "for a goal that this catalogue does not have"
    NOT_POSSIBLE = "with an action that is not possible on its page"
    NOT_FINISHED = "without a purchase at the end"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDemonstrations:
    """The trajectories of one split, and the number of dropped demonstrations by cause."""

    trajectories: Sequence[Trajectory]
    dropped: Mapping[Dropped, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    instruction: str
    actions: Sequence[str]


def read_human_demonstrations(
    path: Path, environment: WebShopEnvironment, *, split: str = "train"
) -> HumanDemonstrations:
    """Replay the demonstrations in ``path`` in ``environment``.

    As in the authors' code, a demonstration belongs to the first goal whose instruction has the same wording. Its
    price limit may differ, because the authors drew limits anew in every process. Demonstrations that do not lead to a
    purchase here, action by action, are dropped, and so are those of other splits, which must not be trained on.

    Args:
        path: The authors' JSON lines, or their zip archive of it.
        environment: An environment with human goals.
        split: The split whose demonstrations are kept.

    Raises:
        ConfigError: There is no such split, or it has no goals.
        DataError: The file is missing, truncated or has another format; the message names the line.
    """
    environment.tasks(split)  # Raises for a wrong split before the file is read.
    goals = _goals_by_wording(environment)
    trajectories: list[Trajectory] = []
    dropped: Counter[Dropped] = Counter()
    for recording in _read(path):
        task = goals.get(_wording(recording.instruction))
        if task is None:
            dropped[Dropped.NO_GOAL] += 1
        elif task.split != split:
            dropped[Dropped.OTHER_SPLIT] += 1
        elif isinstance(result := _replay(environment, task, recording.actions), Trajectory):
            trajectories.append(result)
        else:
            dropped[result] += 1
    return HumanDemonstrations(trajectories=trajectories, dropped=dropped)


def _goals_by_wording(environment: WebShopEnvironment) -> Mapping[str, Task]:
    goals: dict[str, Task] = {}
    for name in _SPLITS_IN_ORDER:
        # In a small catalogue, some splits have no goals.
        with suppress(ConfigError):
            for task in environment.tasks(name):
                goals.setdefault(_wording(task.instruction), task)
    return goals


def _wording(instruction: str) -> str:
    """Return ``instruction`` without its price limit, and normalised as in the authors' comparison."""
    text = _PRICE_LIMIT.sub("", instruction.lower().replace('"', "").replace("'", ""))
    return " ".join(text.split()).strip(".")


def _replay(environment: WebShopEnvironment, task: Task, actions: Sequence[str]) -> Trajectory | Dropped:
    steps: list[Step] = []
    with environment.open(task, seed=0) as episode:
        done = False
        for recorded in actions:
            name, argument = parse_action(recorded)
            action = episode.as_listed(recorded if argument is None else f"{name}[{argument}]")
            observation = episode.observation
            if done or not observation.admits(action):
                return Dropped.NOT_POSSIBLE
            transition = episode.step(action)
            decision = Decision(reason="", action=action)
            steps.append(Step(observation=observation, decision=decision, reward=transition.reward))
            done = transition.done
        if not done:
            return Dropped.NOT_FINISHED
        return Trajectory(
            task=task,
            policy_id=POLICY_ID,
            seed=0,
            steps=tuple(steps),
            stop=StopReason.DONE,
            score=episode.score(),
        )


def _read(path: Path) -> Iterator[_Recording]:
    """Yield the demonstrations of the file one by one; with its image features, the file is large."""
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parse(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataError(f"The demonstrations {path} cannot be read ({error}): download them again.") from error


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if not zipfile.is_zipfile(path):
        with path.open(encoding="utf-8") as lines:
            yield lines
        return
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jsonl") and "__MACOSX" not in name)
        if not names:
            raise DataError(f"The archive {path} contains no .jsonl file: use il_trajs_finalized_images.zip.")
        with archive.open(names[0]) as packed:
            yield TextIOWrapper(packed, encoding="utf-8")


def _parse(line: str, where: str) -> _Recording:
    try:
        data = json.loads(line)
        first, actions = data["states"][0], data["actions"]
        found = _INSTRUCTION.search(first)
        if not found or not actions or not all(isinstance(action, str) for action in actions):
            raise ValueError("no instruction on the first page, or no actions")
    except (ValueError, TypeError, LookupError) as error:
        raise DataError(
            f"{where}: this is not a WebShop demonstration with lists 'states' and 'actions' ({error!r}): use "
            f"il_trajs_finalized_images.jsonl."
        ) from error
    return _Recording(instruction=found[1], actions=actions)
