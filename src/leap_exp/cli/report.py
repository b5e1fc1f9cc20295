"""``leap report FOLDER``: write the HTML report of a run or a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.cli.commands import invoke
from leap_exp.report import write_report


def main(arguments: Sequence[str]) -> int:
    """Write the report and print its path. Returns 1 if that is not possible."""
    app = typer.Typer(add_completion=False)
    app.command()(_report)
    return invoke(lambda: app, arguments, name="report")


def _report(
    folder: Annotated[Path, typer.Argument(help="A run folder, or a folder with several (a sweep).")],
) -> None:
    """Write the HTML report of a run or a sweep, and print its path."""
    print(write_report(folder))
