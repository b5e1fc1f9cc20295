"""``leap analyse FOLDER``: the measures of a finished run, or of all runs of a sweep with their statistics."""

from collections.abc import Sequence

import typer

from leap_exp.cli.commands import invoke
from leap_exp.core.components import load


def main(arguments: Sequence[str]) -> int:
    """Measure and print what was found. Returns 1 if that is not possible."""
    return invoke(_app, arguments, name="analyse")


def _app() -> typer.Typer:
    app = typer.Typer(add_completion=False)
    # Imported here, because its libraries of statistics come with the training stack.
    app.command()(load("leap_exp.cli.analyse_command:analyse"))
    return app
