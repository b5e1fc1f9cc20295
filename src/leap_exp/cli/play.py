"""``leap play NAME``: try the tasks of an environment yourself."""

from collections.abc import Sequence

from leap_exp.cli.commands import environment_app, invoke


def main(arguments: Sequence[str]) -> int:
    """Let the user play. Returns 1 if that is not possible."""
    text = "Try the tasks of an environment yourself."
    return invoke(lambda: environment_app("play", arguments, text=text), arguments, name="play")
