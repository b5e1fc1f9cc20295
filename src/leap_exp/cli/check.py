"""``leap check NAME``: compare an environment, or the drop-ins for the originals, with the reference implementation."""

from collections.abc import Sequence

import typer

from leap_exp.cli.commands import ending, environment_app, invoke


def main(arguments: Sequence[str]) -> int:
    """Run a check. Returns 0 if nothing differs, 1 if something differs or cannot be checked."""
    return invoke(lambda: _app(arguments), arguments, name="check")


def _app(arguments: Sequence[str]) -> typer.Typer:
    app = environment_app("check", arguments, text="Compare an environment with its reference implementation.")
    if not any(command.name in arguments[:1] for command in app.registered_commands):
        # Imported here, because it imports all environments.
        from leap_exp.cli.check_dropin import dropin

        app.command("dropin")(ending(dropin))
    return app
