"""Replays logged runs of the original and compares outputs and rewards.

The runs are replayed as they were logged. One container ran all actions of a file of episodes; another ran the gold
commands, one per action. The first was reset by git before each episode, the second before each gold command. A reset
does not restore what git ignores, and the files that it restores get a new modification time.
"""

import gzip
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.engine.differences import ORDER, equal_normalised, explain_output, explain_reward
from leap_exp.envs.intercode_bash.engine.episode import BashEpisode
from leap_exp.envs.intercode_bash.engine.queries import Collection, Query
from leap_exp.envs.intercode_bash.engine.reward import GoldResult, run_gold
from leap_exp.envs.intercode_bash.engine.sandbox import Sandbox, SandboxEngine
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from leap_exp.envs.intercode_bash.engine.trees import RESET

_SET = re.compile(r".*_fs_(\d)\.json(?:\.gz)?")
_REWARD_TOLERANCE = 0.005
"""Rewards are sums of parts rounded to hundredths."""
_FIELDS = ("task_id", "query", "actions", "observations", "rewards")
_SHOWN_CHARACTERS = 1 << 30
_QUOTED_CHARACTERS = 200
UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedAction:
    """A logged action with the logged and the replayed output and reward.

    ``query`` is the query's id, ``number`` the action's position in its episode, ``files`` the paths in its file tree.
    """

    query: str
    number: int
    action: str
    gold: str
    logged: str
    replayed: str
    logged_reward: float
    reward: float
    files: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return a description with the first line in which the outputs differ."""
        pairs = zip_longest(self.logged.splitlines(), self.replayed.splitlines(), fillvalue="")
        logged, replayed = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        return (
            f"{self.query} action {self.number}: {self.action}\n"
            f"  logged   {self.logged_reward:.2f} {logged[:_QUOTED_CHARACTERS]!r}\n"
            f"  replayed {self.reward:.2f} {replayed[:_QUOTED_CHARACTERS]!r}\n"
            f"  reason   {self.reason or UNEXPLAINED}"
        )

    @property
    def same_output(self) -> bool:
        """Whether the outputs are equal."""
        return self.logged == self.replayed

    @property
    def same_lines(self) -> bool:
        """Whether the outputs have the same lines in any order. The order of files in a folder is not defined."""
        return sorted(self.logged.splitlines()) == sorted(self.replayed.splitlines())

    @property
    def same_normalised(self) -> bool:
        """Whether the outputs are equal without what depends on the machine; see ``equal_normalised``."""
        return equal_normalised(self.logged, self.replayed)

    @property
    def same_reward(self) -> bool:
        """Whether the rewards are equal up to rounding."""
        return abs(self.logged_reward - self.reward) < _REWARD_TOLERANCE

    @property
    def same(self) -> bool:
        """Whether output and reward are equal."""
        return self.same_output and self.same_reward

    @property
    def reason(self) -> str | None:
        """The reasons for the differences, joined by " + "; None if a difference is not explained."""
        output_reasons: Sequence[str] = ()
        if not self.same_output:
            output_reasons = explain_output(self.action, self.gold, self.logged, self.replayed, self.files)
            if not output_reasons:
                return None
        reward_reasons = () if self.same_reward else explain_reward(self.action, self.gold)
        # The reward ignores the order of lines, so another reward needs another reason.
        if not self.same_reward and set(output_reasons) <= {ORDER} and not reward_reasons:
            return None
        return " + ".join(dict.fromkeys((*output_reasons, *reward_reasons))) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedAction:
    """A logged action that cannot be replayed, because its output or its reward was not logged.

    The original blocks some actions without running them. If it was an episode's last one, it has no output.
    """

    query: str
    number: int
    action: object

    def __str__(self) -> str:
        """Return a description."""
        return f"{self.query} action {self.number}: skipped, because no output and reward were logged: {self.action!r}"


def replay(
    folder: Path, collection: Collection, engine: SandboxEngine, *, pace_seconds: float = 0.0
) -> Iterator[ReplayedAction | SkippedAction]:
    """Replay all logged runs in ``folder``.

    Args:
        folder: Files such as gpt-4_fs_1.json.gz.
        collection: The queries of the runs.
        engine: Makes the two sandboxes of each file.
        pace_seconds: Time to wait before each action, as for a model. It matters for commands such as find -mmin.

    Raises:
        DataError: There are no logged runs, or they belong to other queries.
        EnvError: A sandbox failed.
    """
    queries = {query.id: query for query in collection.queries}
    for path, number in logged_files(folder).items():
        tree = f"fs_{number}"
        episodes = [(_find_query(path, tree, episode, queries), episode) for episode in read_log(path)]
        paths = frozenset(entry.path for entry in collection.trees[tree].entries)
        with engine.open(collection.trees[tree]) as container, engine.open(collection.trees[tree]) as evaluation:
            for query, episode in episodes:
                yield from _replay_episode(query, episode, paths, container, evaluation, pace_seconds)


def logged_files(folder: Path) -> Mapping[Path, int]:
    """Return the files of logged runs in ``folder``, with the number of their file system each.

    Raises:
        DataError: There are none.
    """
    files = {path: int(found[1]) for path in sorted(folder.glob("*.json*")) if (found := _SET.fullmatch(path.name))}
    if not files:
        raise DataError(f"There are no logged runs in {folder}: it needs files such as gpt-4_fs_1.json.gz.")
    return files


def _find_query(path: Path, tree: str, episode: Mapping[str, Any], queries: Mapping[str, Query]) -> Query:
    query = queries.get(f"{tree}/{episode['task_id']}")
    if query is None or query.text != episode["query"]:
        raise DataError(f"{path} has a run of the query {episode['query']!r}, which is not in the collection.")
    return query


def read_log(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the episodes in a file of logged runs; raises DataError if it cannot be read."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [{field: episode[field] for field in _FIELDS} for episode in json.loads(content)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a list of logged runs ({error!r}).") from error


def _replay_episode(
    query: Query,
    logged: Mapping[str, Any],
    files: frozenset[str],
    container: Sandbox,
    evaluation: Sandbox,
    pace_seconds: float,
) -> Iterator[ReplayedAction | SkippedAction]:
    _reset(container)
    # A model takes at least a second, so the files that the two containers restore have different times.
    time.sleep(1.01 - time.time() % 1)
    episode = BashEpisode(
        container,
        query.text,
        lambda: [_gold_result(evaluation, query)],
        quoting=Quoting.ORIGINAL,
        shown_characters=_SHOWN_CHARACTERS,
    )
    columns = (logged["actions"], logged["observations"], logged["rewards"])
    for number, (action, output, reward) in enumerate(zip_longest(*columns)):
        if not (isinstance(action, str) and isinstance(output, str) and isinstance(reward, int | float)):
            yield SkippedAction(query=query.id, number=number, action=action)
            continue
        time.sleep(pace_seconds)
        transition = episode.step(action)
        yield ReplayedAction(
            query=query.id,
            number=number,
            action=action,
            gold=query.gold,
            logged=output,
            replayed=transition.observation.text,
            logged_reward=reward,
            reward=episode.reward().total if not transition.done else transition.reward,
            files=files,
        )
        if transition.done:
            break


def _gold_result(evaluation: Sandbox, query: Query) -> GoldResult:
    _reset(evaluation)
    return run_gold(evaluation, query.gold, Quoting.ORIGINAL)


def _reset(sandbox: Sandbox) -> None:
    sandbox.run(Quoting.ORIGINAL.arguments(RESET), workdir="/")
