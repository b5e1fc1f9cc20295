"""A text game in the terminal: the observation, a prompt, and the admissible commands when they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from leap_exp.core.errors import ConfigError
from leap_exp.core.protocols import Environment, Episode
from leap_exp.core.types import Task

LIST, QUIT = "?", "quit"
"""What a player can type beside the game's own commands."""

_PROMPT = "> "


def choose_task(environment: Environment, split: str, index: int) -> Task:
    """The task at ``index``, counted from 0, of ``split``.

    Raises:
        ConfigError: There is none.
    """
    tasks = environment.tasks(split)
    if not 0 <= index < len(tasks):
        raise ConfigError(f"There is no game {index} in {split}: give a number from 0 to {len(tasks) - 1}.")
    return tasks[index]


def play_task(environment: Environment, task: Task) -> None:
    """Let somebody at the terminal play ``task`` until it is done or they leave (``quit``, end of input, Ctrl-C)."""
    print(f"{task.id}. {LIST} lists the commands, the tabulator key completes them, {QUIT} or Ctrl-D leaves.\n")
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
    """What the player types, line by line, without empty ones, until they leave."""
    while True:
        try:
            line = input(f"\n{_PROMPT}").strip()
        except (EOFError, KeyboardInterrupt):
            # The cursor still stands behind the prompt.
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
    """Let readline, where Python has it, edit the line, recall earlier ones and complete commands."""
    if not sys.stdin.isatty():
        yield
        return
    with suppress(ImportError):
        import readline

        readline.set_completer(lambda text, place: _completion(episode, text, place))
        # The whole line is completed, since commands hold blanks.
        readline.set_completer_delims("")
        readline.parse_and_bind("tab: complete")
    yield


def _completion(episode: Episode, text: str, place: int) -> str | None:
    fitting = [command for command in _admissible(episode) if command.startswith(text)]
    return fitting[place] if place < len(fitting) else None
