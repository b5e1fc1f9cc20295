"""``leap check NAME``: compare an environment with its reference implementation, or with the contract."""

from collections.abc import Sequence

import typer

from leap_exp.cli.commands import ending, environment_app, invoke


def main(arguments: Sequence[str]) -> int:
    """Run a check. Returns 0 if nothing differs, 1 if something differs or cannot be checked."""
    return invoke(lambda: _app(arguments), arguments, name="check")


def _app(arguments: Sequence[str]) -> typer.Typer:
    text = "Compare an environment with its reference implementation, or any environment with the contract."
    app = environment_app("check", arguments, text=text)
    if not any(command.name in arguments[:1] for command in app.registered_commands):
        # Imported here, because they import all environments.
        from leap_exp.cli.check_contract import contract
        from leap_exp.cli.check_dropin import dropin

        app.command("dropin")(ending(dropin))
        app.command("contract")(contract)
    return app
