"""``leap sweep status FOLDER``: which runs of a sweep are done, running, failed or waiting."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.cli.commands import invoke
from leap_exp.runs.jobs import JobState, JobStatus, read_jobs


def main(arguments: Sequence[str]) -> int:
    """Run the command that ``arguments`` name. Returns 1 if the folder holds no runs."""
    app = typer.Typer(help="Look at a sweep.", no_args_is_help=True, add_completion=False)
    app.callback()(lambda: None)
    app.command("status")(_status)
    return invoke(lambda: app, arguments, name="sweep")


def _status(folder: Annotated[Path, typer.Argument(help="The folder of the sweep: its run_dir.")]) -> None:
    """Show which runs are done, running, failed (with the error), interrupted or waiting."""
    jobs = read_jobs(folder)
    print(*_lines(jobs), sep="\n")
    counts = Counter(job.state for job in jobs)
    print(", ".join(f"{counts[state]} {state}" for state in JobState if counts[state]) + f" of {len(jobs)} runs")
    if counts[JobState.FAILED] or counts[JobState.INTERRUPTED]:
        print("Give the command of the sweep again to run what is missing.")


def _lines(jobs: Sequence[JobStatus]) -> Iterator[str]:
    """Yield a line for each run, however long, so that it can be searched."""
    width = max(len(job.name) for job in jobs)
    for job in jobs:
        rounds = "" if job.rounds is None else f"{job.finished_rounds}/{job.rounds} rounds"
        yield f"{job.state:<12} {rounds:>12}  {job.name:<{width}}  {job.host}  {job.line}".rstrip()
