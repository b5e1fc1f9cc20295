"""What became of the runs of a sweep: which are done, running, failed or waiting.

The folder of a sweep has ``sweep.json`` with the names of its runs. A run that started has ``job.json`` with its state;
that it is still running shows in its lock, so a killed process leaves nothing to clean up.
"""

import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from leap_exp.core.errors import LeapError, StoreError
from leap_exp.runs.documents import read_config, read_document, read_lines, read_metrics, write_document
from leap_exp.runs.files import is_locked, storing

PLAN_NAME, JOB_NAME = "sweep.json", "job.json"
SUBMITIT_FOLDER = ".submitit"
"""Where Hydra's submitit launcher keeps the logs of jobs, in the folder of the sweep."""


class JobState(StrEnum):
    """What a run of a sweep does; see ``docs/scaling.md``."""

    DONE = "done"
    PRUNED = "pruned"
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"


class PrunedError(LeapError):
    """A run was ended early because other runs of its sweep do better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The state of a run.

    Attributes:
        name: The run's folder, relative to that of the sweep.
        finished_rounds: The number of finished rounds, behaviour cloning included.
        rounds: The number of rounds that it will have, or None if it has not started.
        host: Where it runs or ran last.
        line: The error, the last stage, or the last line of the log.
    """

    name: str
    state: JobState
    finished_rounds: int = 0
    rounds: int | None = None
    host: str = ""
    line: str = ""


def add_to_plan(sweep_dir: Path, names: Sequence[str]) -> None:
    """Add runs to the list of a sweep's runs."""
    with storing(sweep_dir):
        sweep_dir.mkdir(parents=True, exist_ok=True)
    known = _planned(sweep_dir)
    write_document(sweep_dir / PLAN_NAME, {"runs": [*known, *(name for name in names if name not in known)]})


@contextmanager
def job_noted(run_dir: Path, *, job_id: str) -> Iterator[None]:
    """Note in ``job.json`` that the run in ``run_dir`` is running, and then how it ended. The folder must be locked."""
    path = run_dir / JOB_NAME
    note = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "job_id": job_id,
    }
    write_document(path, {**note, "state": JobState.RUNNING})
    try:
        yield
    except PrunedError as error:
        write_document(path, {**note, "state": JobState.PRUNED, "error": str(error)})
        raise
    except Exception as error:
        write_document(path, {**note, "state": JobState.FAILED, "error": error_line(error)})
        raise
    write_document(path, {**note, "state": JobState.DONE})


def error_line(error: BaseException) -> str:
    """Return what is shown of an error: its message and, unless it is one of ours, its type."""
    text = str(error) if isinstance(error, LeapError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def read_jobs(sweep_dir: Path) -> list[JobStatus]:
    """Return the state of all runs of a sweep: those that are planned, then others below ``sweep_dir``.

    Raises:
        StoreError: There are none.
    """
    started = sorted(str(path.parent.relative_to(sweep_dir)) for path in sweep_dir.rglob("provenance.json"))
    names = list(dict.fromkeys([*_planned(sweep_dir), *started]))
    if not names:
        raise StoreError(f"{sweep_dir} holds no runs. Give the folder of a sweep: run_dir of leap run -m.")
    return [read_job(sweep_dir, name) for name in names]


def read_job(sweep_dir: Path, name: str) -> JobStatus:
    """Return the state of the run ``name`` of a sweep."""
    folder = sweep_dir / name
    note = _note(folder)
    finished, rounds = _rounds(folder)
    state = _state(folder, note, complete=finished > 0 and rounds in (None, finished))
    known = {"name": name, "state": state, "finished_rounds": finished, "rounds": rounds, "host": note.get("host", "")}
    if state in (JobState.FAILED, JobState.PRUNED):
        line = note.get("error", "")
    elif state is JobState.RUNNING:
        line = _last_stage(folder)
    elif state is JobState.INTERRUPTED:
        logs = sorted((sweep_dir / SUBMITIT_FOLDER / str(note.get("job_id"))).glob("*_log.err"))
        line = last_log_line(logs[0]) if logs else ""
    else:
        line = ""
    return JobStatus(**known, line=line)


def final_value(run_dir: Path, objective: str) -> float:
    """Return a figure of the last round: one of its entry in summary.json, or a metric; NaN if no episode was scored.

    Raises:
        StoreError: The round has no such figure.
    """
    last = read_document(run_dir / "summary.json")["rounds"][-1]
    if not last["n"]:
        return math.nan
    figures = {name: value for name, value in last.items() if isinstance(value, int | float)}
    values = {**read_metrics(run_dir).get(last["round"], {}), **figures}
    if objective not in values:
        raise StoreError(f"objective={objective} is no figure of the last round; choose one of: {', '.join(values)}.")
    return float(values[objective])


def last_log_line(log: Path) -> str:
    """Return the last line of a job's error output, where Slurm says why it was killed; empty if there is none."""
    if not log.exists():
        return ""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _state(folder: Path, note: dict[str, Any], *, complete: bool) -> JobState:
    if is_locked(folder):
        return JobState.RUNNING
    if note.get("state") in (JobState.FAILED, JobState.PRUNED):
        return JobState(note["state"])
    if complete:
        return JobState.DONE
    return JobState.INTERRUPTED if note or (folder / "provenance.json").exists() else JobState.WAITING


def _planned(sweep_dir: Path) -> list[str]:
    path = sweep_dir / PLAN_NAME
    return list(read_document(path)["runs"]) if path.exists() else []


def _note(folder: Path) -> dict[str, Any]:
    path = folder / JOB_NAME
    return read_document(path) if path.exists() else {}


def _rounds(folder: Path) -> tuple[int, int | None]:
    """Return how many rounds are finished, and how many there will be."""
    summary, config = folder / "summary.json", folder / "config.yaml"
    finished = len(read_document(summary)["rounds"]) if summary.exists() else 0
    rounds = read_config(config).get("rounds") if config.exists() else None
    return finished, None if rounds is None else rounds + 1


def _last_stage(folder: Path) -> str:
    lines = [line for line in read_lines(folder / "timings.jsonl") if "seconds" in line]
    return f"round {lines[-1]['round']}: {lines[-1]['stage']} done" if lines else ""
