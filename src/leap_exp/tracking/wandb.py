"""Weights & Biases: online where the user has set it up, else offline files that ``wandb sync`` takes."""

import logging
import netrc
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import wandb

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.types import Correction, Trajectory
from leap_exp.store import read_document, write_document

logger = logging.getLogger(__name__)

Mode = Literal["online", "offline", "disabled"]


def wandb_mode() -> Mode:
    """What WANDB_MODE and WANDB_API_KEY ask for: a mode as set, online with a key, else offline.

    Raises:
        ConfigError: an unknown mode, or online without an account; nobody is ever prompted for one.
    """
    mode = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    if mode == "online":
        if not (os.environ.get("WANDB_API_KEY") or _has_login()):
            raise ConfigError("WANDB_MODE=online needs an account: set WANDB_API_KEY, or WANDB_MODE=offline.")
        return "online"
    if mode == "offline":
        return "offline"
    if mode == "disabled":
        return "disabled"
    raise ConfigError(f"WANDB_MODE={mode} is not valid; choose one of: online, offline, disabled.")


def _has_login() -> bool:
    """Whether ``wandb login`` has left a key in the netrc file."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbTracker:
    """One W&B run a run folder: metrics by round, tables of records, students as artifacts.

    wandb.json in the run folder keeps the run's id. A resumed run says everything again from the start: online, rows
    that the server has are skipped; offline, the new files are whole and take the place of the former process's, which
    a kill leaves cut short.
    """

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        self._step = 0

    @classmethod
    @contextmanager
    def start(
        cls,
        run_dir: Path,
        *,
        mode: Mode,
        project: str,
        entity: str | None,
        group: str | None,
        config: Mapping[str, object],
    ) -> Iterator[Self]:
        """A tracker for the time of the context; a run that ends by an exception is marked as failed.

        Raises:
            ProviderError: W&B cannot start.
        """
        id_path = run_dir / "wandb.json"
        if not id_path.exists():
            write_document(id_path, {"id": secrets.token_hex(4)})
        former = sorted(run_dir.glob("wandb/offline-run-*"))
        # Offline, W&B stages files to upload; in the run folder they are still there when it is synced.
        os.environ["WANDB_DATA_DIR"] = str((run_dir / "wandb").resolve())
        try:
            run = wandb.init(
                mode=mode,
                dir=run_dir,
                id=read_document(id_path)["id"],
                resume="allow" if mode == "online" else None,
                project=project,
                entity=entity,
                group=group,
                name=run_dir.name,
                job_type="train" if config["rounds"] else "evaluate",
                config=dict(config),
                reinit="finish_previous",
                settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
            )
        except Exception as error:
            raise ProviderError(f"W&B cannot start: {error}. Set WANDB_MODE=offline, or tracker=jsonl.") from error
        run.define_metric("round")
        run.define_metric("*", step_metric="round")
        failed = True
        try:
            yield cls(run)
            failed = False
        finally:
            _warn_on_failure(lambda: run.finish(exit_code=int(failed)))
        for folder in former:
            shutil.rmtree(folder, ignore_errors=True)

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Log metrics against the round."""
        self._log_row({"round": round_index, **metrics})

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Log trajectories as a table with a row a step."""
        columns = ["task", "kind", "score", "step", "observation", "reason", "action", "valid", "reward"]
        rows = [
            [
                *(trajectory.task.id, trajectory.task.kind, trajectory.score),
                *(number, step.observation.text, step.decision.reason, step.decision.action),
                *(step.is_valid, step.reward),
            ]
            for trajectory in trajectories
            for number, step in enumerate(trajectory.steps)
        ]
        self._log_table(f"{name}/trajectories", columns, rows, round_index)

    def log_corrections(self, corrections: Sequence[Correction], *, round_index: int) -> None:
        """Log corrections as a table with a row a step."""
        columns = ["task", "kind", "step", "observation", "student action", "action", "reason", "changed"]
        rows = [
            [
                *(correction.trajectory.task.id, correction.trajectory.task.kind, number),
                *(step.observation.text, step.decision.action, decision.action, decision.reason, changed),
            ]
            for correction in corrections
            for number, (step, decision, changed) in enumerate(
                zip(correction.trajectory.steps, correction.decisions, correction.changed, strict=True)
            )
        ]
        self._log_table("correct/corrections", columns, rows, round_index)

    def log_student(self, folder: Path, *, round_index: int) -> None:
        """Log a trained student as an artifact that descends from the one of the round before."""
        name = f"student-{self._run.id}"
        parent = f"{name}:round_{round_index - 1}" if round_index else None

        def upload() -> None:
            if parent and not self._run.offline:
                self._run.use_artifact(parent)
            # Offline, W&B takes no inputs; the metadata still tells where the student comes from.
            artifact = wandb.Artifact(name, type="student", metadata={"round": round_index, "parent": parent})
            # The files never change again, so there is no need to copy them.
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    artifact.add_file(str(path), name=str(path.relative_to(folder)), policy="immutable")
            self._run.log_artifact(artifact, aliases=[f"round_{round_index}"])

        _warn_on_failure(upload)

    def _log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], round_index: int) -> None:
        self._log_row({"round": round_index, name: wandb.Table(columns=[*columns], data=[*rows])})

    def _log_row(self, row: dict[str, object]) -> None:
        """Log a row at the next step, unless the server has that step from a former process of this run."""
        if self._step >= self._run.starting_step:
            _warn_on_failure(lambda: self._run.log(row, step=self._step))
        self._step += 1


def _warn_on_failure(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - W&B's errors have no common root, and none of them may stop a run
        logger.warning("W&B: %s: %s; the run goes on, its records are in the run folder.", type(error).__name__, error)
