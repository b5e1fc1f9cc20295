"""``leap check NAME``: compare an environment with its reference implementation."""

from collections.abc import Sequence

from leap_exp.cli.commands import environment_app, invoke


def main(arguments: Sequence[str]) -> int:
    """Run a check. Returns 0 if nothing differs, 1 if something differs or cannot be checked."""
    text = "Compare an environment with its reference implementation."
    return invoke(lambda: environment_app("check", arguments, text=text), arguments, name="check")
