"""Text games in the terminal, with a list of the admissible commands and tab completion."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from leap_exp.core.environments import Environment, Episode
from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Task

LIST, QUIT = "?", "quit"
"""What a player can type besides commands of the game."""

_PROMPT = "> "


def choose_task(environment: Environment, split: str, index: int) -> Task:
    """Return the task at ``index``, counted from 0.

    Raises:
        ConfigError: The split has no such task.
    """
    tasks = environment.tasks(split)
    if not 0 <= index < len(tasks):
        raise ConfigError(f"There is no game {index} in {split}: give a number from 0 to {len(tasks) - 1}.")
    return tasks[index]


def play_task(environment: Environment, task: Task) -> None:
    """Play ``task`` in the terminal until it is done or the player leaves (``quit``, end of input, Ctrl-C)."""
    print(f"{task.id}. Type {LIST} for the commands, Tab to complete them, {QUIT} or Ctrl-D to leave.\n")
    with environment.open(task, seed=0) as episode, _completing(episode):
        print(episode.observation.text)
        commands = 0
        for command in _typed():
            if command == LIST:
                print("\n".join(_admissible(episode)))
                continue
            transition = episode.step(command)
            commands += 1
            print(transition.observation.text)
            if transition.done:
                print(f"\nDone after {commands} commands, with a score of {episode.score():g}.")
                return


def _typed() -> Iterator[str]:
    """Yield the lines that the player types, without empty ones, until they leave."""
    while True:
        try:
            line = input(f"\n{_PROMPT}").strip()
        except (EOFError, KeyboardInterrupt):
            # End the line with the prompt.
            print()
            return
        if line == QUIT:
            return
        if line:
            yield line


def _admissible(episode: Episode) -> Sequence[str]:
    return episode.observation.admissible_actions or ()


@contextmanager
def _completing(episode: Episode) -> Iterator[None]:
    """Use readline, if Python has it, for editing, history and completion."""
    if not sys.stdin.isatty():
        yield
        return
    with suppress(ImportError):
        import readline

        readline.set_completer(lambda text, place: _completion(episode, text, place))
        # Commands contain spaces, so complete whole lines.
        readline.set_completer_delims("")
        readline.parse_and_bind("tab: complete")
    yield


def _completion(episode: Episode, text: str, place: int) -> str | None:
    fitting = [command for command in _admissible(episode) if command.startswith(text)]
    return fitting[place] if place < len(fitting) else None
