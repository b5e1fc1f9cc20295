"""Recorded episodes of the original, played again: which turns come out otherwise, and why."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.episode import BashEpisode
from leap_exp.envs.intercode_bash.requests import Collection, Request
from leap_exp.envs.intercode_bash.reward import run_gold
from leap_exp.envs.intercode_bash.sandbox import SandboxEngine
from leap_exp.envs.intercode_bash.shell import Quoting

_SET = re.compile(r".*_fs_(\d)\.json(?:\.gz)?")
_SAME_REWARD = 0.005
"""Rewards are sums of parts rounded to hundredths."""
_FIELDS = ("task_id", "query", "actions", "observations", "rewards")
_SHOWN_CHARACTERS = 1 << 30
_QUOTED = 200
"""How much of an observation a difference quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A recorded action, and what came of it there and here."""

    request: str
    number: int
    action: str
    recorded: str
    observed: str
    recorded_reward: float
    reward: float

    def __str__(self) -> str:
        """Both sides of the turn, the observations shortened."""
        sides = ((self.recorded_reward, self.recorded), (self.reward, self.observed))
        recorded, here = (f"{reward:.2f} {text[:_QUOTED]!r}" for reward, text in sides)
        return f"{self.request} turn {self.number}: {self.action}\n  recorded {recorded}\n  here     {here}"

    @property
    def same_observation(self) -> bool:
        """Whether both observations are equal, character by character."""
        return self.recorded == self.observed

    @property
    def same_words(self) -> bool:
        """Whether both observations have the same words, in whatever order: a folder's files have none of their own."""
        return sorted(self.recorded.split()) == sorted(self.observed.split())

    @property
    def same_reward(self) -> bool:
        """Whether both rewards are equal, up to rounding."""
        return abs(self.recorded_reward - self.reward) < _SAME_REWARD


def replay(folder: Path, collection: Collection, engine: SandboxEngine) -> Iterator[Turn]:
    """All recorded turns in the files of ``folder``, played again.

    Raises:
        DataError: There are no recordings, or one is not of these requests.
        EnvError: The sandbox broke.
    """
    files = sorted(path for path in folder.glob("*.json*") if _SET.fullmatch(path.name))
    if not files:
        raise DataError(f"There are no recorded episodes in {folder}, such as gpt-4_fs_1.json.gz.")
    requests = {request.id: request for request in collection.requests}
    for path in files:
        number = _SET.fullmatch(path.name)
        for episode in _read(path):
            request = requests.get(f"fs_{number[1] if number else ''}/{episode['task_id']}")
            if request is None or request.query != episode["query"]:
                raise DataError(f"{path} has an episode of {episode['query']!r}, which is not asked for here.")
            yield from _play(request, episode, collection, engine)


def _read(path: Path) -> Sequence[Mapping[str, object]]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        episodes: Sequence[Mapping[str, object]] = [
            {field: episode[field] for field in _FIELDS} for episode in json.loads(content)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no list of recorded episodes ({error!r}).") from error
    return episodes


def _play(
    request: Request, recorded: Mapping[str, object], collection: Collection, engine: SandboxEngine
) -> Iterator[Turn]:
    tree = collection.trees[request.tree]
    with engine.open(tree) as fresh:
        gold = run_gold(fresh, request.gold, Quoting.ORIGINAL)
    columns = [recorded["actions"], recorded["observations"], recorded["rewards"]]
    with engine.open(tree) as sandbox:
        episode = BashEpisode(
            sandbox, request.query, lambda: gold, quoting=Quoting.ORIGINAL, shown_characters=_SHOWN_CHARACTERS
        )
        for number, (action, observation, reward) in enumerate(zip(*columns, strict=True)):
            transition = episode.step(action)
            yield Turn(
                request=request.id,
                number=number,
                action=action,
                recorded=observation,
                observed=transition.observation.text,
                recorded_reward=reward,
                reward=episode.judge().total if not transition.done else transition.reward,
            )
            if transition.done:
                break
