"""Weights & Biases: online if the user has set it up, else offline files for ``wandb sync``."""

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
from leap_exp.runs import read_document, write_document
from leap_exp.tracking.jsonl import JsonlTracker

logger = logging.getLogger(__name__)

WandbMode = Literal["online", "offline", "disabled"]


def wandb_mode() -> WandbMode:
    """Return the mode in WANDB_MODE; if that is not set, online with WANDB_API_KEY and offline without.

    Raises:
        ConfigError: The mode is unknown, or online without an account. W&B never prompts for one.
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
    raise ConfigError(f"WANDB_MODE={mode} is not valid: choose one of: online, offline, disabled.")


def _has_login() -> bool:
    """Return whether ``wandb login`` has stored a key in the netrc file."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbTracker(JsonlTracker):
    """metrics.jsonl and one W&B run per run folder: metrics by round, tables of records, students as artifacts.

    wandb.json in the run folder holds the id of the W&B run. A resumed run logs everything again from the start.
    Online, rows that the server already has are skipped. Offline, complete new files replace those of the earlier
    process, which may have been cut short.
    """

    def __init__(self, run_dir: Path, run: wandb.Run) -> None:
        super().__init__(run_dir)
        self._run = run
        self._step = 0

    @classmethod
    @contextmanager
    def start(
        cls,
        run_dir: Path,
        *,
        mode: WandbMode,
        project: str,
        entity: str | None,
        group: str | None,
        config: Mapping[str, object],
    ) -> Iterator[Self]:
        """Start a W&B run that ends with the context; if that ends with an exception, the run is marked as failed.

        Raises:
            ProviderError: W&B cannot start.
        """
        id_path = run_dir / "wandb.json"
        if not id_path.exists():
            write_document(id_path, {"id": secrets.token_hex(4)})
        earlier = sorted(run_dir.glob("wandb/offline-run-*"))
        # Offline, W&B collects the files to upload here; in the run folder they are kept until ``wandb sync``.
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
            raise ProviderError(f"W&B cannot start: {error}. Use WANDB_MODE=offline or tracker=jsonl.") from error
        run.define_metric("round")
        run.define_metric("*", step_metric="round")
        failed = True
        try:
            yield cls(run_dir, run)
            failed = False
        finally:
            _warn_on_failure(lambda: run.finish(exit_code=int(failed)))
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Log metrics against the round."""
        super().log(metrics, round_index=round_index)
        self._log_row({"round": round_index, **metrics})

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Log trajectories as a table with one row per step."""
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
        """Log corrections as a table with one row per step."""
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
        """Log a trained student as an artifact derived from that of the previous round."""
        name = f"student-{self._run.id}"
        parent = f"{name}:round_{round_index - 1}" if round_index else None

        def upload() -> None:
            if parent and not self._run.offline:
                self._run.use_artifact(parent)
            # Offline, W&B accepts no input artifacts, so the metadata also names the parent.
            artifact = wandb.Artifact(name, type="student", metadata={"round": round_index, "parent": parent})
            # The files never change, so W&B need not copy them.
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    artifact.add_file(str(path), name=str(path.relative_to(folder)), policy="immutable")
            self._run.log_artifact(artifact, aliases=[f"round_{round_index}"])

        _warn_on_failure(upload)

    def _log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], round_index: int) -> None:
        self._log_row({"round": round_index, name: wandb.Table(columns=[*columns], data=[*rows])})

    def _log_row(self, row: dict[str, object]) -> None:
        """Log a row at the next step, unless the server has that step from an earlier process of this run."""
        if self._step >= self._run.starting_step:
            _warn_on_failure(lambda: self._run.log(row, step=self._step))
        self._step += 1


def _warn_on_failure(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - W&B's errors have no common base class, and none may stop a run
        logger.warning(
            "W&B: %s: %s; the run goes on, and its records are in the run folder.", type(error).__name__, error
        )
