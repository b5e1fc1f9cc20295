"""The console script ``leap``."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

import typer

COMMANDS = {
    "run": "Train a student by LEAP, or run a sweep; takes settings as GROUP=MEMBER and SETTING=VALUE.",
    "eval": "Evaluate a student on the panel, without training: a checkpoint of a run, or any student.",
    "sweep": "Show which runs of a sweep are done, running, failed or waiting.",
    "analyse": "Measure realizability, information, recoverability and the bound of finished runs.",
    "report": "Write the HTML report of a run or a sweep.",
    "play": "Try the tasks of an environment yourself.",
    "data": "Install and verify benchmark data, and prepare demonstrations and facts.",
    "check": "Compare an environment with its reference implementation, or with the contract.",
    "bench": "Measure an environment's speed, or how often corrections disclose hidden facts.",
}
"""The commands, each in the module of its name; a module is imported when its command is used."""

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
"""Settings of a command that leaves all of its arguments, ``--help`` included, to another parser."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that ``arguments`` (default: the command line) name, and exit with its status."""
    app = typer.Typer(
        help="Train LLM agents from privileged teachers (LEAP). Run leap COMMAND --help for a command's options.",
        no_args_is_help=True,
        add_completion=False,
    )
    for name, text in COMMANDS.items():
        app.command(name, help=text, add_help_option=False, context_settings=PASS_ON)(_command(name))
    # In this mode typer ends the process silently when the reader of its output has gone, as in `leap --help | head`.
    typer.main.get_command(app).main(args=arguments, prog_name="leap")
    raise AssertionError


def _command(name: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        status = import_module(f"leap_exp.cli.{name}").main(context.args)
        sys.stdout.flush()
        raise typer.Exit(status)

    return command
