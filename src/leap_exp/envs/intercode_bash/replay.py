"""Recorded episodes of the original, played again as they were recorded.

One container took all the actions of a file of episodes, another one all the gold commands, one at every turn. Between
episodes the one, before every gold command the other is reset by git, which leaves alone what git ignores, and gives
the files that it restores a new age.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.differences import ORDER, are_alike, explain_output, explain_reward
from leap_exp.envs.intercode_bash.episode import BashEpisode
from leap_exp.envs.intercode_bash.requests import Collection, Request
from leap_exp.envs.intercode_bash.reward import Gold, run_gold
from leap_exp.envs.intercode_bash.sandbox import Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.shell import Quoting
from leap_exp.envs.intercode_bash.version_control import RESET

_SET = re.compile(r".*_fs_(\d)\.json(?:\.gz)?")
_SAME_REWARD = 0.005
"""Rewards are sums of parts rounded to hundredths."""
_FIELDS = ("task_id", "query", "actions", "observations", "rewards")
_SHOWN_CHARACTERS = 1 << 30
_QUOTED = 200
"""How much of an observation a difference quotes."""
UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A recorded action, and what came of it there and here."""

    request: str
    number: int
    action: str
    gold: str
    recorded: str
    observed: str
    recorded_reward: float
    reward: float

    def __str__(self) -> str:
        """Both sides of the turn, each with the first line in which the observations differ."""
        recorded, observed = (text.splitlines() for text in (self.recorded, self.observed))
        pairs = zip_longest(recorded, observed, fillvalue="")
        there, here = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        return (
            f"{self.request} turn {self.number}: {self.action}\n"
            f"  recorded {self.recorded_reward:.2f} {there[:_QUOTED]!r}\n"
            f"  here     {self.reward:.2f} {here[:_QUOTED]!r}\n"
            f"  because of {self.reason or UNEXPLAINED}"
        )

    @property
    def same_observation(self) -> bool:
        """Whether both observations are equal, character by character."""
        return self.recorded == self.observed

    @property
    def same_lines(self) -> bool:
        """Whether both observations have the same lines, in whatever order: a folder's files have none of their own."""
        return sorted(self.recorded.splitlines()) == sorted(self.observed.splitlines())

    @property
    def alike_observation(self) -> bool:
        """Whether both are equal but for what is shown to be the recording machine's: see ``are_alike``."""
        return are_alike(self.recorded, self.observed)

    @property
    def same_reward(self) -> bool:
        """Whether both rewards are equal, up to rounding."""
        return abs(self.recorded_reward - self.reward) < _SAME_REWARD

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.same_observation and self.same_reward

    @property
    def reason(self) -> str | None:
        """Why something differs, several reasons joined; None if no rule tells."""
        of_output: Sequence[str] = ()
        if not self.same_observation:
            of_output = explain_output(self.action, self.gold, self.recorded, self.observed)
            if not of_output:
                return None
        of_reward = () if self.same_reward else explain_reward(self.action, self.gold)
        # The reward does not heed the order of lines: that it differs must have another reason.
        if not self.same_reward and set(of_output) <= {ORDER} and not of_reward:
            return None
        return " + ".join(dict.fromkeys((*of_output, *of_reward))) or None


def replay(folder: Path, collection: Collection, engine: SandboxEngine, *, pace_seconds: float = 0.0) -> Iterator[Turn]:
    """All recorded turns in the files of ``folder``, played again, ``pace_seconds`` before each action.

    So long a model took to answer; it matters to what is younger than some minutes.

    Raises:
        DataError: There are no recordings, or one is not of these requests.
        EnvError: The sandbox broke.
    """
    files = sorted(path for path in folder.glob("*.json*") if _SET.fullmatch(path.name))
    if not files:
        raise DataError(f"There are no recorded episodes in {folder}, such as gpt-4_fs_1.json.gz.")
    requests = {request.id: request for request in collection.requests}
    for path in files:
        episodes = [(_request(path, episode, requests), episode) for episode in _read(path)]
        tree = collection.trees[_tree(path)]
        with engine.open(tree) as container, engine.open(tree) as evaluation:
            for request, episode in episodes:
                yield from _play(request, episode, container, evaluation, pace_seconds)


def _tree(path: Path) -> str:
    number = _SET.fullmatch(path.name)
    return f"fs_{number[1] if number else ''}"


def _request(path: Path, episode: Mapping[str, object], requests: Mapping[str, Request]) -> Request:
    request = requests.get(f"{_tree(path)}/{episode['task_id']}")
    if request is None or request.query != episode["query"]:
        raise DataError(f"{path} has an episode of {episode['query']!r}, which is not asked for here.")
    return request


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
    request: Request,
    recorded: Mapping[str, object],
    container: Sandbox,
    evaluation: Sandbox,
    pace_seconds: float,
) -> Iterator[Turn]:
    columns = [recorded["actions"], recorded["observations"], recorded["rewards"]]
    _reset(container)
    # However fast a model is, files that both containers restore are not of the same second.
    time.sleep(1.01 - time.time() % 1)
    episode = BashEpisode(
        container,
        request.query,
        lambda: _gold(evaluation, request),
        quoting=Quoting.ORIGINAL,
        shown_characters=_SHOWN_CHARACTERS,
    )
    for number, (action, observation, reward) in enumerate(zip(*columns, strict=True)):
        time.sleep(pace_seconds)
        transition = episode.step(action)
        yield Turn(
            request=request.id,
            number=number,
            action=action,
            gold=request.gold,
            recorded=observation,
            observed=transition.observation.text,
            recorded_reward=reward,
            reward=episode.judge().total if not transition.done else transition.reward,
        )
        if transition.done:
            break


def _gold(evaluation: Sandbox, request: Request) -> Gold:
    _reset(evaluation)
    return run_gold(evaluation, request.gold, Quoting.ORIGINAL)


def _reset(sandbox: Sandbox) -> None:
    sandbox.run(Quoting.ORIGINAL.arguments(RESET), workdir="/")
