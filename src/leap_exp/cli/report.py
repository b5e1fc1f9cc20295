"""``leap report FOLDER``: write the HTML report of a run or a sweep, and save a W&B workspace."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from leap_exp.cli.commands import invoke
from leap_exp.core.errors import ConfigError
from leap_exp.report import write_report


def main(arguments: Sequence[str]) -> int:
    """Write the report and print its path. Returns 1 if that is not possible."""
    app = typer.Typer(add_completion=False)
    app.command()(_report)
    return invoke(lambda: app, arguments, name="report")


def _report(
    folder: Annotated[Path, typer.Argument(help="A run folder, or a folder with several (a sweep).")],
    wandb: Annotated[bool, typer.Option("--wandb", help="Also save a W&B workspace with the same panels.")] = False,
) -> None:
    """Write the HTML report of a run or a sweep, and print its path."""
    print(write_report(folder))
    if wandb:
        print(_save_workspace(folder))


def _save_workspace(folder: Path) -> str:
    """Save the workspace of ``folder`` and return its address; raises ConfigError without the package for it."""
    try:
        from leap_exp.tracking.workspace import save_workspace  # Importing wandb takes long.
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "wandb_workspaces":
            raise
        raise ConfigError(
            'leap report --wandb needs the package wandb-workspaces: pip install "leap-exp[workspaces]".'
        ) from error
    return save_workspace(folder)
