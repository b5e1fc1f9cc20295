"""The HTML report of a run or a sweep, as one self-contained file."""

from pathlib import Path

from leap_exp.analysis.run import is_run, read_run
from leap_exp.analysis.sweep import read_sweep
from leap_exp.report.run_page import write_run_page
from leap_exp.report.sweep_page import write_sweep_page
from leap_exp.runs import locked

__all__ = ["write_report"]


def write_report(folder: Path) -> Path:
    """Write the report of ``folder``, a run folder or one that holds several, into it.

    A sweep also gets ``results.json``, ``summary.csv`` and its figures as SVG files.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: No round of any run is finished, or a file is broken or of another version.
    """
    if not is_run(folder):
        # The runs of a sweep write its report when they end, several perhaps at the same time.
        with locked(folder, wait=True):
            return write_sweep_page(read_sweep(folder), folder)
    path = folder / "report.html"
    write_run_page(read_run(folder), path)
    return path
