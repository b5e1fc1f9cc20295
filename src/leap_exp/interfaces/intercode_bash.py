"""Drop-in for ``intercode.envs.BashEnv``: InterCode's shell environment, in sandboxes that need no Docker.

Agent code changes one import:

    from leap_exp.interfaces.intercode_bash import BashEnv

    env = BashEnv("intercode-nl2bash", data_path="data/nl2bash/nl2bash_fs_1.json")
    observation, info = env.reset(0)
    observation, reward, done, info = env.step("ls /testbed")
    _, reward, done, info = env.step("submit")
"""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from leap_exp.core.errors import ConfigError, DataError, EnvError
from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.episode import SKIP, SUBMIT
from leap_exp.envs.intercode_bash.engine.queries import SETS, official_folder, read_set_tree, tree_file
from leap_exp.envs.intercode_bash.engine.reward import Change, GoldResult, compute_reward, gold_result
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, Sandbox, SandboxEngine, SandboxKind
from leap_exp.envs.intercode_bash.engine.shell import Quoting, Shell
from leap_exp.envs.intercode_bash.engine.trees import FileTree, read_tree

logger = logging.getLogger(__name__)

AGENT_OBS, EVAL_OBS, CORRUPT_GOLD = "agent_obs", "eval_obs", "corrupt_gold"
ACTION_EXEC, REWARD = "action_executed", "reward"

IMAGE = "intercode-nl2bash"
"""The image whose environment this is."""

_SET_IN_NAME = re.compile(r"_fs_(\d+)\.json$")


class Records:
    """The queries of a file, in the place of InterCode's data loader.

    Args:
        path: A JSON list of objects with ``query`` and, usually, ``gold``.

    Raises:
        DataError: The file cannot be read, or an entry has no query.
    """

    def __init__(self, path: Path) -> None:
        self.data_path = str(path)
        try:
            self.data: Sequence[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"data_path={path} is not a JSON file of queries ({error}).") from error
        if not isinstance(self.data, list) or not all(
            isinstance(entry, dict) and "query" in entry for entry in self.data
        ):
            raise DataError(f"data_path={path} is not a JSON list of objects with a 'query' each.")

    def __len__(self) -> int:
        return len(self.data)

    def get(self, index: int | None = None) -> dict[str, Any]:
        """Return the entry at ``index``, without what is null; None draws one (by NumPy's global generator).

        Raises:
            DataError: There is no such entry.
        """
        place = int(np.random.randint(0, len(self))) if index is None else index
        try:
            return {name: value for name, value in self.data[place].items() if value is not None}
        except IndexError as error:
            raise DataError(
                f"There is no query {place} in {self.data_path}: choose from 0 to {len(self) - 1}."
            ) from error


class BashEnv:
    """InterCode's shell environment. Every episode has a sandbox of its own, in which all state is new.

    Attributes:
        data_loader: The queries.
        query: The query; ``gold``, ``query_idx`` and ``record`` are its gold command, index and entry.
        observation: The query, then the output of the last command.
        trajectory: The actions and their observations.
        reward: The last reward, or None.
        info: The original's information about the last action and reward.

    Args:
        image_name: ``intercode-nl2bash``.
        data_path: A JSON file of queries; None gives a shell without queries or rewards.
        traj_dir: Where the trajectory of each submitted episode is written, if not None.
        verbose: Whether actions and rewards are logged.
        preprocess: Takes the query's entry and returns commands that run before the episode.
        file_system: Number of one of the authors' file systems, or a file that lists one. By default it is that of
            ``data_path``, whose name then ends with ``_fs_N.json``. The original's is a part of its image.
        sandbox: What makes sandboxes: ``bubblewrap``, ``docker``, or ``auto``: Docker if it is running.
        base: The programs in them: ``host`` (this machine's) or ``rootfs`` (an installed one).
        command_seconds: After so many seconds a command is killed.

    Raises:
        ConfigError: The image is another one, or it is not known which file system is meant.
        DataError: A file is missing or cannot be read.
        EnvError: There can be no sandboxes on this machine.
    """

    name = "ic_bash"

    def __init__(
        self, image_name: str = IMAGE, *, data_path: str | Path | None = None, traj_dir: str | Path | None = None,
        verbose: bool = False, preprocess: Callable[[Mapping[str, Any]], Sequence[str]] | None = None,
        file_system: int | str | Path | None = None, sandbox: str = SandboxKind.AUTO, base: str = BaseKind.HOST,
        command_seconds: float = 10.0,
    ) -> None:  # fmt: skip
        if image_name != IMAGE:
            raise ConfigError(f"There is only the image {IMAGE!r} here, not {image_name!r}.")
        self.image_name = image_name
        self.tool_mode = data_path is None
        if data_path is not None:
            self.data_loader = Records(Path(data_path))
        self.preprocess = preprocess
        self.traj_dir = None if traj_dir is None else Path(traj_dir)
        self._level = logging.INFO if verbose else logging.DEBUG
        self._tree = _find_tree(file_system, None if data_path is None else Path(data_path))
        # The original shows nothing of a command that never stops writing: it times out.
        limits = Limits(seconds=command_seconds, kill_at_output=False)
        self._engine: SandboxEngine = open_engine(SandboxKind(sandbox), base=BaseKind(base), limits=limits)
        self._golds: dict[str, GoldResult] = {}
        self._episode = ExitStack()
        self._sandbox: Sandbox | None = None

    def reset(self, index: int | None = None) -> tuple[str | None, dict[str, Any]]:
        """Start an episode in a new sandbox; return the query and an empty mapping.

        Args:
            index: Which query; None draws one (by NumPy's global generator).

        Raises:
            DataError: There is no such query.
            EnvError: The sandbox cannot be made, or a command of ``preprocess`` fails.
        """
        self.info: dict[str, Any] = {}
        self.trajectory: list[tuple[str, str | None]] = []
        self.observation: str | None = None
        self.reward: float | None = None
        if not self.tool_mode:
            self.query_idx = int(np.random.randint(0, len(self.data_loader))) if index is None else index
            self.record = self.data_loader.get(self.query_idx)
            self.query = self.record["query"]
            self.gold: str | list[str] = self.record.get("gold", "N/A")
            self.observation = self.query
        self.reset_container()
        for command in self.preprocess(self.record) if self.preprocess and not self.tool_mode else ():
            self.exec_action(command)
            if not self.info[ACTION_EXEC]:
                raise EnvError(f"The command {command!r} of preprocess failed: {self.observation}")
        return self.observation, self.info

    def reset_container(self) -> None:
        """Replace the sandbox by a new one."""
        self.close()
        self._sandbox = self._episode.enter_context(self._engine.open(self._tree))
        self._shell = Shell(self._sandbox, Quoting.ORIGINAL)

    def step(self, action: str) -> tuple[str | None, float, bool, dict[str, Any]]:
        """Run ``action``; return the observation, the reward, whether the episode is over, and information.

        ``skip`` ends the episode without a reward. Anything that begins with ``submit`` ends it with the reward, but as
        in the original commands can follow.

        Raises:
            EnvError: There is no episode, or the sandbox failed.
        """
        if action == SKIP:
            return "skipped", 0, True, {}
        if action.startswith(SUBMIT):
            self.trajectory.append((action, None))
            reward, info = (0.0, {}) if self.tool_mode else self.get_reward()
            if self.traj_dir is not None:
                self.save_trajectory()
            return self.observation, reward, True, {**info, ACTION_EXEC: True}
        self.exec_action(action)
        self.trajectory.append((action, self.observation))
        logger.log(self._level, "action: %s\nobservation: %s", action, self.observation)
        return self.observation, 0, False, self.info

    def exec_action(self, action: str) -> None:
        """Run ``action`` in the shell; sets ``observation`` and, in ``info``, whether it succeeded."""
        self._running()
        output = self._shell.run(action)
        self.observation = output.text
        self.info[ACTION_EXEC] = output.succeeded

    def get_reward(self) -> tuple[float, dict[str, Any]]:
        """Return the reward for the files and the last output as they are, and its parts under the original's names.

        Raises:
            EnvError: The gold command was killed at a limit, so that nothing can be compared with it.
        """
        sandbox = self._running()
        gold = self._gold_result()
        reward = compute_reward(sandbox, self.observation or "", gold)
        info: dict[str, Any] = {
            REWARD: {
                "file_diff": reward.file_diff,
                "file_changes": reward.file_changes,
                "answer_similarity": reward.answer_similarity,
            },
            "diff_miss": sorted(reward.missing),
            "diff_extra": sorted(reward.extra),
            AGENT_OBS: self.observation,
            EVAL_OBS: gold.output,
            "answer_similarity": float(reward.similarity),
        }
        if reward.common:
            common: list[Change] = sorted(reward.common)
            info["diff_same"] = {"files": common, "correct": reward.correct, "total": len(common)}
        self.reward = reward.total
        self.info |= {**info, CORRUPT_GOLD: gold.output is None}
        logger.log(self._level, "reward: %s, %s", self.reward, self.info)
        return self.reward, info

    def save_trajectory(self) -> None:
        """Write the episode so far to a JSON file in the folder ``logs_ic_bash`` of ``traj_dir``.

        Raises:
            ConfigError: There is no ``traj_dir``.
        """
        if self.traj_dir is None:
            raise ConfigError("save_trajectory needs a folder: give BashEnv a traj_dir.")
        task = {} if self.tool_mode else {"query_idx": self.query_idx, "query": self.query, "gold": self.gold}
        log = {
            "environment": self.name,
            **task,
            **({} if self.tool_mode else {"reward": self.reward}),
            "trajectory": [{"action": action, "observation": str(text)} for action, text in self.trajectory],
            "info": self.info,
        }
        folder = self.traj_dir / f"logs_{self.name}"
        folder.mkdir(parents=True, exist_ok=True)
        # With microseconds: the original's names are seconds, and the second trajectory of one replaces the first.
        file = folder / f"log_{datetime.now():%Y%m%d%H%M%S%f}.json"
        part = file.with_name(f"{file.name}.part")
        part.write_text(json.dumps(log, indent=2), encoding="utf-8")
        part.rename(file)

    def get_available_actions(self) -> None:
        """Return None, as the original: any command is possible."""

    @property
    def workdir(self) -> str:
        """The working directory of the next command."""
        return self._shell.workdir

    def close(self) -> None:
        """Remove the sandbox."""
        self._sandbox = None
        self._episode.close()

    def _running(self) -> Sandbox:
        if self._sandbox is None:
            raise EnvError("There is no episode: call reset first.")
        return self._sandbox

    def _gold_result(self) -> GoldResult:
        """Run the gold command in a sandbox of its own, once for each."""
        command = ";".join(self.gold) if isinstance(self.gold, list) else self.gold
        if command not in self._golds:
            query = f"query {self.query_idx}"
            self._golds[command] = gold_result(self._engine, self._tree, command, Quoting.ORIGINAL, query=query)
        return self._golds[command]


def _find_tree(file_system: int | str | Path | None, data_path: Path | None) -> FileTree:
    """Return the file tree that ``file_system`` or the name of the queries' file means."""
    found = _SET_IN_NAME.search(data_path.name) if data_path else None
    if file_system is None:
        if not found:
            raise ConfigError(
                f"data_path={data_path} does not end with _fs_N.json, so the file system is unknown: give file_system "
                f"(a number from {SETS[0]} to {SETS[-1]}, or a file that lists one)."
            )
        file_system = int(found[1])
    if not isinstance(file_system, int):
        return read_tree(Path(file_system))
    if file_system not in SETS:
        raise ConfigError(f"There is no file system {file_system}: choose from {SETS[0]} to {SETS[-1]}.")
    folders = [*([data_path.parent] if data_path else []), official_folder()]
    for folder in folders:
        if any((folder / tree_file(number)).is_file() for number in SETS):
            return read_set_tree(folder, file_system)
    raise DataError(
        f"There are no file systems ({tree_file(SETS[0])} and so on) in {' or '.join(map(str, folders))}: run "
        "leap data install intercode."
    )
