"""Comparison of the drop-in ``BashEnv`` with that of the package intercode-bench, on logged actions."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine import open_engine
from leap_exp.envs.intercode_bash.engine.differences import equal_normalised
from leap_exp.envs.intercode_bash.engine.queries import queries_file, read_set_tree
from leap_exp.envs.intercode_bash.engine.replay import logged_files, read_log
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, Resource, SandboxEngine, SandboxKind
from leap_exp.envs.intercode_bash.engine.trees import RESET, FileTree
from leap_exp.interfaces.intercode_bash import IMAGE, BashEnv

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAction:
    """What an action showed in both environments.

    Attributes:
        where: The file, the query, the number of the action and the action.
        differences: A line for each difference.
        same_normalised: Whether the observations are equal up to what depends on the clock, inodes and so on.
    """

    where: str
    differences: tuple[str, ...]
    same_normalised: bool


class _ExecResult(NamedTuple):
    exit_code: int | None
    output: bytes


class _Container:
    """A sandbox with as much of the interface of Docker's containers as the original uses.

    The original resets its containers with git, which leaves traces of the episodes before: other modification times,
    and whatever git ignores. Here a reset gives a new sandbox, as in the drop-in.
    """

    def __init__(self, engine: SandboxEngine, tree: FileTree) -> None:
        self._engine, self._tree = engine, tree
        self._opened = ExitStack()

    def exec_run(self, cmd: str, workdir: str = "/") -> _ExecResult:
        """Run ``cmd``, which is split like Docker's client does it."""
        if RESET in cmd:
            self.stop()
            self._sandbox = self._opened.enter_context(self._engine.open(self._tree))
            return _ExecResult(0, b"")
        result = self._sandbox.run(shlex.split(cmd), workdir=workdir)
        if result.exceeded is Resource.TIME:
            raise TimeoutError
        return _ExecResult(result.exit_code, result.output)

    def stop(self) -> None:
        """Remove the sandbox."""
        self._opened.close()


def compare_with_package(runs: Path, source: Path, *, limit: int | None, base: BaseKind) -> Iterator[ComparedAction]:
    """Take the logged actions in both environments, with a submission after each, and yield what they showed.

    The original runs as it is, but its two containers are sandboxes like those of the drop-in.

    Args:
        runs: A folder of files such as gpt-4_fs_1.json.gz.
        source: The folder of queries and file systems.
        limit: Take only so many episodes of each file.
        base: The programs in the sandboxes.

    Raises:
        DataError: There are no logged runs, or a file cannot be read.
        EnvError: intercode-bench is not installed, or a sandbox failed.
    """
    for path, number in logged_files(runs).items():
        data_path = source / queries_file(number)
        ours = BashEnv(IMAGE, data_path=data_path, sandbox=SandboxKind.BUBBLEWRAP, base=base)
        with _original(data_path, source, number, base) as theirs:
            for episode in read_log(path)[:limit]:
                yield from _compare_episode(f"{path.name} {episode['task_id']}", episode, ours, theirs)
        ours.close()


@contextmanager
def _original(data_path: Path, source: Path, number: int, base: BaseKind) -> Iterator[Any]:
    """Give the original's ``BashEnv``, with sandboxes in the place of its containers."""
    try:
        from intercode.envs import ic_env
        from intercode.envs.bash import bash_env
    except ImportError as error:
        raise EnvError(f"This check needs the original ({error}): pip install intercode-bench.") from error
    engine = open_engine(SandboxKind.BUBBLEWRAP, base=base, limits=Limits(kill_at_output=False))
    tree = read_set_tree(source, number)
    with ExitStack() as patches:
        for module in (ic_env, bash_env):
            patches.enter_context(patch.object(module, "get_container", lambda *_, **__: _Container(engine, tree)))
        environment = bash_env.BashEnv(IMAGE, data_path=str(data_path))
    try:
        yield environment
    finally:
        environment.close()


def _compare_episode(
    where: str,
    episode: Mapping[str, Any],
    ours: BashEnv,
    theirs: Any,  # noqa: ANN401 - the original has no types
) -> Iterator[ComparedAction]:
    first, second = (environment.reset(episode["task_id"]) for environment in (theirs, ours))
    if first != second:
        yield ComparedAction(where=where, differences=(f"reset gives {second}, not {first}",), same_normalised=False)
    for number, action in enumerate(episode["actions"]):
        if not isinstance(action, str) or action.startswith(("submit", "skip")):
            continue
        shown = [_shown(environment, action) for environment in (theirs, ours)]
        expected, actual = shown
        yield ComparedAction(
            where=f"{where}, action {number}: {action}",
            differences=tuple(
                f"{name} is {actual.get(name)!r}, the original has {expected.get(name)!r}"
                for name in sorted(expected.keys() | actual.keys())
                if not _same(expected.get(name), actual.get(name))
            ),
            same_normalised=equal_normalised(str(expected["observation"]), str(actual["observation"])),
        )


def _shown(environment: Any, action: str) -> dict[str, object]:  # noqa: ANN401 - either environment
    """Take ``action``, submit, and return all that both steps show."""
    observation, before, done, info = environment.step(action)
    executed = info["action_executed"]
    submitted, reward, over, details = environment.step("submit")
    details = dict(details)
    for name in ("diff_miss", "diff_extra"):
        details[name] = sorted(details[name])
    if "diff_same" in details:
        details["diff_same"] = {**details["diff_same"], "files": sorted(details["diff_same"]["files"])}
    steps = {"observation": observation, "reward before": before, "done": done, "executed": executed}
    return {**steps, "submitted": submitted, "total": reward, "over": over, **details}


def _same(expected: object, actual: object) -> bool:
    if isinstance(expected, float) and isinstance(actual, float):
        return abs(expected - actual) < _TOLERANCE
    return expected == actual
