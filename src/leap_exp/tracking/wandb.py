"""Weights & Biases: online if the user has set it up, else offline files for ``wandb sync``."""

import json
import logging
import math
import netrc
import os
import random
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self, TypeVar
from urllib.parse import urlsplit

import wandb

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Trajectory
from leap_exp.runs import TRAIN_LOG, read_document, read_lines, short_name, write_document
from leap_exp.tracking.jsonl import JsonlTracker

logger = logging.getLogger(__name__)

_WRITTEN_AFTER_SECONDS = 60.0
"""When a row is in an offline file for certain; W&B writes every 15 seconds."""

WANDB_FILE = "wandb.json"
"""In a run folder, the id of its W&B run."""

TRAINING_STEP = "train_step/step"
"""The x axis of the losses of optimizer steps: their number in the run so far."""

Rows = list[list[object]]
"""Rows of a table."""

RecordT = TypeVar("RecordT", Trajectory, Correction)

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
    Online, rows that the server already has are skipped. Offline, new files replace those of the earlier process, but
    only once they hold more; see ``_OfflineFiles``.
    """

    def __init__(self, run_dir: Path, run: wandb.Run, offline: "_OfflineFiles | None" = None) -> None:
        super().__init__(run_dir)
        self._run = run
        self._offline = offline
        self._step = 0
        self._training_steps = 0
        self._defined: set[str] = set()
        logged = run_dir / "metrics.jsonl"
        self._to_repeat = logged.read_bytes().count(b"\n") if logged.exists() else 0

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
        id_path = run_dir / WANDB_FILE
        if not id_path.exists():
            write_document(id_path, {"id": secrets.token_hex(4)})
        offline = _OfflineFiles(run_dir) if mode == "offline" else None
        # Offline, W&B collects the files to upload here; in the run folder they are kept until ``wandb sync``.
        os.environ["WANDB_DATA_DIR"] = str((run_dir / "wandb").resolve())
        try:
            run = wandb.init(
                mode=mode,
                dir=offline.place if offline else run_dir,
                id=read_document(id_path)["id"],
                resume="allow" if mode == "online" else None,
                project=project,
                entity=entity,
                group=group and short_name(group),
                name=short_name(run_dir.name),
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
            yield cls(run_dir, run, offline)
            failed = False
        finally:
            _warn_on_failure(lambda: run.finish(exit_code=int(failed)))
            if offline:
                complete = not failed
                _warn_on_failure(lambda: offline.finish(complete=complete))

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Log metrics against the round."""
        super().log(metrics, round_index=round_index)
        self._to_repeat -= 1
        if self._offline and self._to_repeat < 0:
            _warn_on_failure(self._offline.show_if_written)
        self._log_row({"round": round_index, **metrics})

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Log trajectories as a table with one row per step."""
        columns = ["task", "kind", "score", "step", "observation", "reason", "action", "valid", "reward"]
        self._log_table(f"{name}/trajectories", columns, trajectories, _trajectory_rows, round_index)

    def log_corrections(self, corrections: Sequence[Correction], *, round_index: int) -> None:
        """Log corrections as a table with one row per step."""
        columns = ["task", "kind", "step", "observation", "student action", "action", "reason", "changed"]
        self._log_table("correct/corrections", columns, corrections, _correction_rows, round_index)

    def log_student(self, folder: Path, *, round_index: int) -> None:
        """Log the steps of the training, and the student as an artifact derived from that of the previous round."""
        self._log_training(folder)
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

    def _log_training(self, folder: Path) -> None:
        """Log each optimizer step against the number of steps of the run so far."""
        for line in read_lines(folder / TRAIN_LOG):
            self._training_steps += 1
            values = {
                f"train_step/{name}": value
                for name, value in line.items()
                if name not in ("schema_version", "step") and isinstance(value, int | float)
            }
            for name in values.keys() - self._defined:
                self._defined.add(name)
                self._run.define_metric(name, step_metric=TRAINING_STEP)
            self._log_row({TRAINING_STEP: self._training_steps, **values})

    def _log_table(
        self,
        name: str,
        columns: Sequence[str],
        records: Sequence[RecordT],
        rows_of: Callable[[RecordT], Rows],
        round_index: int,
    ) -> None:
        """Log the rows of records as a table; if W&B would cut it, a sample of the records, and all in an artifact.

        Records are read as they are needed, so that only the rows of the table are held.
        """
        counts = [len(rows_of(record)) for record in records]
        limit = wandb.Table.MAX_ROWS
        places: Sequence[int] = range(len(counts))
        if sum(counts) > limit:
            places = sample_records(counts, limit, seed=derive_seed(round_index, name))
            file = f"{name.replace('/', '_')}-{self._run.id}"
            logger.info(
                "W&B shows %d of the %d rows of %s (round %d): a sample. All are in the artifact %s.",
                *(sum(counts[place] for place in places), sum(counts), name, round_index, file),
            )
            every = (row for record in records for row in rows_of(record))
            self._log_new(lambda: self._upload_rows(file, columns, every, sum(counts), round_index))
        rows = [row for place in places for row in rows_of(records[place])]
        self._log_row({"round": round_index, name: wandb.Table(columns=[*columns], data=rows)})

    def _upload_rows(
        self, name: str, columns: Sequence[str], rows: Iterable[list[object]], count: int, round_index: int
    ) -> None:
        artifact = wandb.Artifact(name, type="table", metadata={"round": round_index, "rows": count})
        with artifact.new_file("rows.jsonl", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
        self._run.log_artifact(artifact, aliases=[f"round_{round_index}"])

    def _log_row(self, row: dict[str, object]) -> None:
        """Log a row at the next step."""
        self._log_new(lambda: self._run.log(row, step=self._step))
        self._step += 1

    def _log_new(self, action: Callable[[], None]) -> None:
        """Log something with the next step, unless the server has that step from an earlier process of this run."""
        if self._step >= self._run.starting_step:
            _warn_on_failure(action)


class _OfflineFiles:
    """The folders of an offline W&B run, ``wandb/offline-run-*`` in the run folder, of which one is to be synced.

    If an earlier process has left a folder, the new one is written elsewhere until it holds more. So a process that is
    killed while it still repeats what was logged leaves only the longer folder to sync.

    Attributes:
        place: Where W&B makes its folder ``wandb``.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "wandb"
        self._elsewhere = self._folder / "repeating" / "wandb"
        self._earlier = sorted(self._folder.glob("offline-run-*"))
        for unfinished in self._written_elsewhere():
            shutil.rmtree(unfinished, ignore_errors=True)
        self.place = self._elsewhere.parent if self._earlier else run_dir
        self.place.mkdir(parents=True, exist_ok=True)
        self._first_new_row = math.inf

    def show_if_written(self) -> None:
        """Show the new folder once its file holds more than the earlier ones; called with every new row."""
        now = time.monotonic()
        if now - self._first_new_row > _WRITTEN_AFTER_SECONDS:
            self.show()
        self._first_new_row = min(now, self._first_new_row)

    def show(self) -> None:
        """Put a link to the new folder in the place of the earlier ones. W&B still writes to it, so it cannot move."""
        if not self._earlier:
            return
        new = self._written_elsewhere()
        replaced = []
        for path in self._earlier:
            replaced.append(path.resolve() if path.is_symlink() else path.rename(self._elsewhere / f"{path.name}.old"))
            path.unlink(missing_ok=True)
        for path in new:
            (self._folder / path.name).symlink_to(path.relative_to(self._folder), target_is_directory=True)
        for path in replaced:
            shutil.rmtree(path, ignore_errors=True)
        self._earlier = []

    def finish(self, *, complete: bool) -> None:
        """Leave the folder that holds more, after W&B has ended; ``complete`` if the run has logged everything."""
        if complete or self._first_new_row < math.inf:
            self.show()
        for link in self._folder.glob("offline-run-*"):
            if link.is_symlink():
                folder = link.resolve()
                link.unlink()
                folder.rename(link)
        shutil.rmtree(self._elsewhere.parent, ignore_errors=True)

    def _written_elsewhere(self) -> list[Path]:
        """Return the folders that no link leads to."""
        shown = {path.resolve() for path in self._earlier}
        return [path for path in self._elsewhere.glob("offline-run-*") if path.resolve() not in shown]


def sample_records(counts: Sequence[int], limit: int, *, seed: int) -> list[int]:
    """Return the places, in order, of records drawn at random that have at most ``limit`` rows together.

    ``counts`` has the number of rows of each record.
    """
    places = list(range(len(counts)))
    random.Random(seed).shuffle(places)
    drawn: list[int] = []
    for place in places:
        if counts[place] <= limit:
            drawn.append(place)
            limit -= counts[place]
    return sorted(drawn)


def _trajectory_rows(trajectory: Trajectory) -> Rows:
    return [
        [
            *(trajectory.name, trajectory.task.full_kind, trajectory.score),
            *(number, step.observation.text, step.decision.reason, step.decision.action),
            *(step.is_valid, step.reward),
        ]
        for number, step in enumerate(trajectory.steps)
    ]


def _correction_rows(correction: Correction) -> Rows:
    steps = zip(correction.trajectory.steps, correction.decisions, correction.changed, strict=True)
    return [
        [
            *(correction.trajectory.name, correction.trajectory.task.full_kind, number),
            *(step.observation.text, step.decision.action, decision.action, decision.reason, changed),
        ]
        for number, (step, decision, changed) in enumerate(steps)
    ]


def _warn_on_failure(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - W&B's errors have no common base class, and none may stop a run
        logger.warning(
            "W&B: %s: %s; the run goes on, and its records are in the run folder.", type(error).__name__, error
        )
