"""What the command lines share: exit codes, errors in one line, and the commands of the environments."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from types import ModuleType

import typer

from leap_exp.config.registry import settings_classes
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.core.extras import training_extra_named

EXIT_FAILED, EXIT_CONFIG, EXIT_INTERRUPTED = 1, 2, 130


def print_error(error: LeapError) -> None:
    """Print ``error`` to standard error in one line."""
    print(f"error: {error}", file=sys.stderr)


def invoke(make_app: Callable[[], typer.Typer], arguments: Sequence[str], *, name: str) -> int:
    """Make an app, run it as ``leap NAME``, and return its exit status. A LeapError is printed and gives 1."""
    try:
        with training_extra_named():
            typer.main.get_command(make_app()).main(args=arguments, prog_name=f"leap {name}")
    except LeapError as error:
        print_error(error)
        return EXIT_FAILED
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def commands_module(environment: str) -> ModuleType | None:
    """Import and return the module with the commands of an environment, or None if it has none.

    Raises:
        ConfigError: There is no such environment, or its module cannot be imported.
    """
    classes = settings_classes("env")
    if environment not in classes:
        raise ConfigError(f"There is no environment {environment}; choose one of: {', '.join(classes)}.")
    name = classes[environment].commands
    try:
        return import_module(name) if name else None
    except ImportError as error:
        raise ConfigError(f"The commands of {environment} ({name}) cannot be imported: {error}.") from error


def environment_app(kind: str, arguments: Sequence[str], *, text: str) -> typer.Typer:
    """Return an app with one command per environment: the function ``kind`` of its commands module.

    Only the environment that ``arguments`` name is imported, or all of them for a list. The function's result decides
    about the command, as for ``ending``.

    Raises:
        ConfigError: The commands of an environment cannot be imported.
    """
    app = typer.Typer(help=text, no_args_is_help=True, add_completion=False)
    app.callback()(lambda: None)
    names = list(settings_classes("env"))
    for name in [each for each in arguments[:1] if each in names] or names:
        function = getattr(commands_module(name), kind, None)
        if function is not None:
            app.command(name)(ending(function))
    return app


def ending(function: Callable[..., object]) -> Callable[..., None]:
    """Return ``function`` as a command: a number that it returns is the exit status, a mapping is printed as JSON."""

    @wraps(function)
    def command(*arguments: object, **options: object) -> None:
        result = function(*arguments, **options)
        if isinstance(result, Mapping):
            print(json.dumps(result))
        elif isinstance(result, int):
            raise typer.Exit(result)

    return command
