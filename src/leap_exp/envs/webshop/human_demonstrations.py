"""Demonstrations by people, as WebShop's authors published them, played again on this engine.

A line of ``il_trajs_finalized_images.jsonl`` is a JSON object with a list entry a step: ``states`` (pages in the mode
``text_rich``), ``actions`` (products by id), ``actions_translate`` (products by name), ``available_actions``,
``action_idxs`` (the place of the action among these, -1 for a search) and ``images``. Only the instruction on the first
page and ``actions`` are used: pages, admissible actions and scores are this engine's.
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
from leap_exp.envs.webshop.environment import WebShopEnvironment
from leap_exp.envs.webshop.shop import parse_action

POLICY_ID = "human"

_INSTRUCTION = re.compile(r"Instruction:\s*(.*?)\s*(?:\[button\] Search \[button_\]\s*)?\Z", re.DOTALL | re.IGNORECASE)
_PRICE_LIMIT = re.compile(r", and price lower than .*\Z", re.DOTALL)
_SPLITS_IN_ORDER = ("test", "validation", "train")


class Dropped(StrEnum):
    """Why a demonstration was not taken; the values are for the reader of a report."""

    OTHER_SPLIT = "of another split"
    NO_GOAL = "for a goal that this catalogue does not have"
    NOT_POSSIBLE = "with an action that cannot be taken on its page here"
    NOT_FINISHED = "without a purchase at the end"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDemonstrations:
    """What came of a file: the trajectories of one split, and how many were dropped for which reason."""

    trajectories: Sequence[Trajectory]
    dropped: Mapping[Dropped, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    instruction: str
    actions: Sequence[str]


def read_human_demonstrations(
    path: Path, environment: WebShopEnvironment, *, split: str = "train"
) -> HumanDemonstrations:
    """Play the demonstrations in ``path`` again in ``environment``.

    As with the authors, a demonstration belongs to the first goal with the wording of its instruction; the price limit
    in it may differ, for the authors drew it anew in every process. What does not lead to a purchase here, action by
    action, is dropped; so are the goals of other splits, on which nothing may be trained.

    Args:
        path: The authors' JSON lines, or their zip archive of it.
        environment: Where to play, with the goals that people wrote.
        split: Whose goals to take.

    Raises:
        ConfigError: There is no such split, or it has no goals.
        DataError: The file is missing, cut short or of another format; names the line.
    """
    environment.tasks(split)  # refuses the split, if at all, before the file is read
    goals = _goals_by_wording(environment)
    trajectories: list[Trajectory] = []
    dropped: Counter[Dropped] = Counter()
    for recorded in _read(path):
        task = goals.get(_wording(recorded.instruction))
        if task is None:
            dropped[Dropped.NO_GOAL] += 1
        elif task.split != split:
            dropped[Dropped.OTHER_SPLIT] += 1
        elif isinstance(result := _play(environment, task, recorded.actions), Trajectory):
            trajectories.append(result)
        else:
            dropped[result] += 1
    return HumanDemonstrations(trajectories=trajectories, dropped=dropped)


def _goals_by_wording(environment: WebShopEnvironment) -> Mapping[str, Task]:
    goals: dict[str, Task] = {}
    for name in _SPLITS_IN_ORDER:
        # A small catalogue has splits without goals.
        with suppress(ConfigError):
            for task in environment.tasks(name):
                goals.setdefault(_wording(task.instruction), task)
    return goals


def _wording(instruction: str) -> str:
    """``instruction`` without its price limit and what the authors' own comparison leaves out."""
    text = _PRICE_LIMIT.sub("", instruction.lower().replace('"', "").replace("'", ""))
    return " ".join(text.split()).strip(".")


def _play(environment: WebShopEnvironment, task: Task, actions: Sequence[str]) -> Trajectory | Dropped:
    steps: list[Step] = []
    with environment.open(task, seed=0) as episode:
        done = False
        for recorded in actions:
            name, argument = parse_action(recorded)
            # As the shop reads it: only the argument's case does not matter.
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


def _read(path: Path) -> Iterator[_Recorded]:
    """The demonstrations of the file, one at a time: with its image features it is large."""
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parse(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataError(f"The demonstrations {path} cannot be read: {error}.") from error


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if not zipfile.is_zipfile(path):
        with path.open(encoding="utf-8") as lines:
            yield lines
        return
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jsonl") and "__MACOSX" not in name)
        if not names:
            raise DataError(f"The archive {path} holds no .jsonl file.")
        with archive.open(names[0]) as packed:
            yield TextIOWrapper(packed, encoding="utf-8")


def _parse(line: str, place: str) -> _Recorded:
    try:
        data = json.loads(line)
        first, actions = data["states"][0], data["actions"]
        found = _INSTRUCTION.search(first)
        if not found or not actions or not all(isinstance(action, str) for action in actions):
            raise ValueError("no instruction on the first page, or no actions")
    except (ValueError, TypeError, LookupError) as error:
        raise DataError(
            f"{place}: no demonstration of WebShop's format, which has lists 'states' and 'actions' ({error!r})."
        ) from error
    return _Recorded(instruction=found[1], actions=actions)
