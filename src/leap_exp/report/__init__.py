"""The HTML report of a run, or of a sweep of runs, as one file that needs nothing but itself."""

from pathlib import Path

from leap_exp.report.run import read_run
from leap_exp.report.run_page import write_run_page

__all__ = ["write_report"]


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into ``folder``, a run folder or one that holds several, and return its path."""
    path = folder / "report.html"
    write_run_page(read_run(folder), path)
    return path
