"""The measurements of ``leap bench scale``, each in a process of its own, so that peaks of memory do not mix."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from leap_exp.cli.scale.stand_ins import Corridors, Pace, ReadingTrainer, StandInStudent, best_seconds, rooms_of
from leap_exp.core.components import EnvironmentConfig, TrainerConfig
from leap_exp.core.protocols import ProgressCallback
from leap_exp.core.types import Trajectory
from leap_exp.loop import DemonstrationsConfig, Leap, LoopConfig
from leap_exp.report import write_report
from leap_exp.runs import Journal, Progress, read_lines, read_records, write_whole
from leap_exp.stages.correct import CorrectConfig
from leap_exp.stages.evaluate import draw_panel
from leap_exp.stages.rollout import RolloutsConfig
from leap_exp.students.scripted import ExpertPolicy
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.tracking.jsonl import JsonlTracker

DEMONSTRATIONS, PANEL = 64, 16
_DIES_AT, _RETURNS_AT = 0.3, 0.6
"""Shares of the finished episodes at which a replica dies and comes back."""
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run to measure.

    Attributes:
        tasks: Training tasks per round.
        episodes: Episodes at a time.
        replicas: Servers.
        concurrency: Maximum requests in flight, for each server.
        pace: How the servers answer.
        one_dies: Whether a server dies in the middle of the rollouts and comes back.
    """

    tasks: int
    episodes: int
    replicas: int
    concurrency: int
    pace: Pace
    one_dies: bool = False


def in_process(measure: Callable[[Plan], Mapping[str, float]], plan: Plan) -> Mapping[str, float]:
    """Return what ``measure`` finds in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(measure, plan).result()


def run(plan: Plan) -> dict[str, float]:
    """Measure a whole run of one round after cloning: seconds, memory, lost episodes and its report."""
    with tempfile.TemporaryDirectory(prefix="leap_scale_") as folder:
        os.environ["LEAP_CACHE"] = str(Path(folder, "cache"))
        run_dir = Path(folder, "run")
        run_dir.mkdir()
        before = peak_mib()
        environment = Corridors(plan.tasks)
        student = StandInStudent(environment, replicas=plan.replicas, concurrency=plan.concurrency, pace=plan.pace)
        progress = _Deaths(student, one_dies=plan.one_dies)
        _leap(plan, environment, student, run_dir, progress).run()
        peak = peak_mib() - before
        stored = read_records(run_dir / "round_001" / "trajectories.jsonl").of(Trajectory)
        lines = read_lines(run_dir / "timings.jsonl")
        seconds = {(line["round"], line["stage"]): line["seconds"] for line in lines if "seconds" in line}
        best = best_seconds([trajectory.task.id for trajectory in stored], plan.pace, replicas=plan.replicas)
        acting = seconds[1, "trajectories"]
        return {
            "tasks_count": plan.tasks,
            "lost_count": plan.tasks - len({each.task.id for each in stored if _is_complete(each)}),
            "repeated_count": len(stored) - len({each.task.id for each in stored}),
            "steps_count": sum(len(each.steps) for each in stored),
            "acting_seconds": acting,
            "best_seconds": round(best, 1),
            "throughput_of_best_ratio": round(best / acting, 3),
            "steps_per_second": round(sum(len(each.steps) for each in stored) / acting, 1),
            "peak_mib": round(peak),
            "trajectories_mib": round((run_dir / "round_001" / "trajectories.jsonl").stat().st_size / 2**20, 1),
            **_report(run_dir, folder),
        }


def peak_mib() -> float:
    """Return the peak of this process's memory so far, from Linux."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / _MIB
    return 0.0


def _leap(plan: Plan, environment: Corridors, student: StandInStudent, run_dir: Path, progress: Progress) -> Leap:
    config = LoopConfig(
        env=EnvironmentConfig(max_steps_train=20),
        trainer=TrainerConfig(),
        rounds=1,
        demonstrations=DemonstrationsConfig(count=min(DEMONSTRATIONS, plan.tasks)),
        rollouts=RolloutsConfig(tasks=plan.tasks),
        correct=CorrectConfig(max_score=1.0),
        batch=plan.episodes,
    )
    write_whole(run_dir / "config.yaml", ["seed: 0"])
    panel = environment.tasks("valid_unseen")
    return Leap(
        config=config,
        environment=environment,
        expert=ExpertPolicy(environment),
        teacher=OracleTeacher(environment, seed=0),
        student=student,
        trainer=ReadingTrainer(),
        panel=draw_panel(panel, split="valid_unseen", size=min(PANEL, len(panel)), seed=0),
        journal=Journal(run_dir, seed=0, round_0_seed=0, tracker=JsonlTracker(run_dir), progress=progress),
    )


class _Deaths(Progress):
    """Lets a replica die and come back during the rollouts of round 1."""

    def __init__(self, student: StandInStudent, *, one_dies: bool) -> None:
        self._student = student
        self._one_dies = one_dies

    @contextmanager
    def stage(self, name: str, *, round_index: int) -> Iterator[ProgressCallback]:
        """Return the callback."""

        def on_progress(done: int, total: int) -> None:
            if self._one_dies and (name, round_index) == ("trajectories", 1):
                self._student.servers[0].is_dead = _DIES_AT * total <= done < _RETURNS_AT * total

        yield on_progress


def _is_complete(trajectory: Trajectory) -> bool:
    """Return whether an episode took exactly the steps of its corridor and succeeded."""
    return trajectory.succeeded and len(trajectory.steps) == len(rooms_of(trajectory.task.id))


def _report(run_dir: Path, folder: str) -> dict[str, float]:
    start = time.monotonic()
    page = write_report(run_dir)
    figures = {
        "report_writing_seconds": round(time.monotonic() - start, 2),
        "report_mib": round(page.stat().st_size / 2**20, 2),
    }
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        return figures
    empty = Path(folder, "empty.html")
    empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
    opening = min(_opening_seconds(browser, page, folder) for _ in range(2))
    return {**figures, "report_opening_seconds": round(opening - _opening_seconds(browser, empty, folder), 2)}


def _opening_seconds(browser: str, page: Path, folder: str) -> float:
    """Return the seconds in which a browser starts, opens ``page`` and runs its scripts."""
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *(f"--user-data-dir={folder}/profile", "--dump-dom", page.as_uri()),
    ]
    start = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=120)
    return time.monotonic() - start
